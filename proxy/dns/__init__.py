"""Cluster DNS on every node: records out of Services and EndpointSlices, answered by a pure wire responder."""
