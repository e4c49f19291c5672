"""The group autoscaling/v1: Scale, the body of every `/scale` subresource."""
