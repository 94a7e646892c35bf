"""Three-dimensional motion: the container, rotations, kinematics and the camera that makes it a pose sequence.

World axes everywhere: x to the left of a subject who faces +z, y up, z towards the viewer, in metres.
"""
