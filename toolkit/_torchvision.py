"""Make torchvision importable beside a CPU-only torch.

The torchvision wheel on the package index is a CUDA build. Next to a CPU-only torch its compiled
operators cannot load, and ``import torchvision`` (hence ``fastai.vision``, timm and others) fails
with "operator torchvision::nms does not exist". Declaring the two operators that torchvision
looks up while it is imported is enough; nothing here uses them. Where torchvision loads by
itself, nothing is declared.

Import this module before the first import of torchvision.
"""

import sys

import torch

try:
    import torchvision
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    # The library object owns the declarations: they vanish when it is collected.
    _operators = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _operators.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401
