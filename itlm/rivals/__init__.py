"""What others do, each as short as its idea, with its source.

`linear` are methods for bad outputs in linear models, `labels` for wrong labels, `backdoors` are defences, and
`images` are simple scores that one may try in place of a GAN's discriminator.
"""
