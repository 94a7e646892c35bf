"""From a frame and its pose to feature maps (Yang et al., 2020, Section 2): stick figures, body parts, warping."""
