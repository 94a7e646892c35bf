"""Controllable human action video: the method, in PyTorch, NumPy, OpenCV and Arrow.

Words
    clip         one person doing one action in one video.
    feature map  F, what the generator sees of a frame: stick figure (3 channels) and edge map (1 channel).
    stage        something that is trained (``color_encoder``, ``video_generator``, ...).
    run          one training of one stage.
    backend      one way to see a frame: pose, edges or mask.
    studio       the built-in set of rendered people and actions.

Shapes in comments and docstrings
    N batch, T frames, J joints, P body parts, C channels, H height, W width, Z latent, D width of a layer.

Conventions
    Images in files and in NumPy are uint8 RGB, (H, W, 3). In networks they are float, (N, 3, H, W), in [-1, 1].
    Feature maps, masks and edges are in [0, 1] until a network eats them (0 means "nothing there").
    Keypoints are (..., 18, 3): x and y in pixels, pixel centres at integer coordinates, and a confidence in
    [0, 1]. A joint that was not seen is (0, 0, 0); confidence > 0 is the only test for presence.
"""
