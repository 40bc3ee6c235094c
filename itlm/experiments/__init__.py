"""The paper's experiments, one file each: labels, cifar, gan, backdoor, synthetic, one_step, regressors.

`protocol` states what an experiment offers, and loads one by name. `rounds` is the engine of those with networks,
`recipe` how their networks are made and trained, `label_noise` their data, `measures` and `gan_quality` what is
measured. No experiment imports another.
"""
