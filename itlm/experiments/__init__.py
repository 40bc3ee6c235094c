"""The paper's experiments, one file each: labels, cifar, gan, backdoor, synthetic, one_step, regressors.

`protocol` defines an experiment's interface and loads an experiment by name. The experiments with networks share fits
and rounds (`rounds`), networks and schedules (`recipe`), data (`label_noise`) and measurements (`measures`). No
experiment imports another.
"""
