"""Clusters: check a cluster file, submit jobs to a running cluster.

Nothing here runs on the cluster itself.
"""
