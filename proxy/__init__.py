"""The service network of one node: virtual service addresses as iptables rules, and cluster DNS."""
