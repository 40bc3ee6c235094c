"""The parts of the experiments with networks; no module here depends on an experiment.

`images` loads image sets, `corruption` and `marks` corrupt them, `inputs` turns them into tensors, `networks` are the
models, `training` is Algorithm 2, `gan` trains GANs, and `checkpoints` lets a killed fit or run resume.
"""
