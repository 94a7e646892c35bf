"""Videos for programs: Ray Serve with replicas that scale, behind an HTTP interface.

The page for people is `orchestration.app`. What a video shows is decided in `posegen.api`.
"""
