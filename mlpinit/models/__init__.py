"""All that works on any PyTorch model: what `mlpinit.watch`, `surgery` and `recycle` are made of.

The modules, bottom up:

- *names and graphs*: `names` (the activation functions that torch knows), `layers` (what has units,
  and along which axis of its weight), `calls`, `tracing` and `sites` (a forward as torch.fx has it,
  and where it applies activations), `batches`, `comparing`, `graph`, `flow` (from the layer that
  makes a unit to those that read it), `measuring`, `parts` (the smallest part of a model in which
  that can be traced)
- *statistics*: `slopes` (what an activation function is, and its slope as the floats have it),
  `statistics`, `chunking`, `accumulation` (running figures per unit), `lifetimes` (deaths and
  births), `verdicts` (the words), `attention` and `gates` (what saturates besides units),
  `rendering`, `report`
- *observing a forward*: `padding` (the rows and examples that count), `axes`, `composites`
  (activations written out), `observer`, `site` (what is seen, and whose it is),
  `rows_and_gates`, `patching`, `shortcut`
- *a checkup*: `untouched`, `first_pass` and `chance` (what one batch shows), `findings` (what is
  wrong with it), `checkup_views`
- *what is chosen*: `firing` (how often each member of a population is), `restart` (latents and
  codes started anew)
- *what you call*: `watch`, `audit`, `surgery`, `recycle`, `checkup`
"""

__all__: list[str] = []
