"""What the experiments with networks are made of, and knows nothing of any experiment.

`images` loads image sets, `corruption` and `marks` corrupt them, `inputs` turns them into tensors, `networks` are the
models, `training` is Algorithm 2, `gan` trains GANs, and `checkpoints` lets a killed fit or run resume.
"""
