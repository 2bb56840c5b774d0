"""Train LeNet-5 on handwritten digits, quantise it to int8 and write what ``compiler.networks`` loads.

Run from the repository's root, in an environment of its own (``pip install torch==2.13.0 scikit-learn numpy``)::

    python -m training.lenet5

Everything is seeded and runs on one thread, so a second run on the same machine writes the same bytes.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from compiler import networks
from compiler.graph import Quantisation
from golden.arithmetic import quantize_multiplier

SEED = 5
EPOCHS = 60
BATCH = 32
TEST_DIGITS = 450
LEAST_ACCURACY = 0.975
LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's 1797 digits, 8 x 8, enlarged to 28 x 28 as uint8, and their values."""
    small, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(small.reshape(-1, 1, 8, 8) * (255 / 16))
    large = nn.functional.interpolate(images, size=(28, 28), mode="bilinear", align_corners=False)
    return large.round().numpy().astype(np.uint8)[:, 0], labels.astype(np.uint8)


class LeNet5(nn.Module):
    """LeNet-5 with ReLU and max pooling; ``forward`` can report every activation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def activations(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the output of each layer with weights, after ReLU but before pooling."""
        values = {"conv1": torch.relu(self.conv1(x))}
        values["conv2"] = torch.relu(self.conv2(torch.max_pool2d(values["conv1"], 2)))
        values["fc1"] = torch.relu(self.fc1(torch.max_pool2d(values["conv2"], 2).flatten(1)))
        values["fc2"] = torch.relu(self.fc2(values["fc1"]))
        values["fc3"] = self.fc3(values["fc2"])
        return values

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the score of each digit."""
        return self.activations(x)["fc3"]


def train(images: torch.Tensor, labels: torch.Tensor) -> LeNet5:
    """Return a trained model."""
    model = LeNet5()
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    for _ in range(EPOCHS):
        for indices in torch.randperm(len(images)).split(BATCH):
            loss = nn.functional.cross_entropy(model(images[indices]), labels[indices], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    return model.eval()


def quantise(model: LeNet5, images: torch.Tensor) -> dict[str, np.ndarray]:
    """Return the arrays of ``lenet5.npz``: TFLite's int8 scheme, calibrated on ``images``."""
    source = Quantisation(1 / 255, -128)
    arrays = {"input_scale": np.float64(source.scale), "input_zero_point": np.int8(source.zero_point)}
    with torch.no_grad():
        activations = model.activations(images)
    for name in LAYERS:
        target = _range_quantisation(activations[name].numpy())
        filters = _nhwc(name, getattr(model, name).weight.detach().numpy().astype(np.float64))
        bias = getattr(model, name).bias.detach().numpy().astype(np.float64)
        axes = tuple(range(1, filters.ndim)) if name.startswith("conv") else None
        scales = np.abs(filters).max(axis=axes, keepdims=True) / 127
        per_channel = np.broadcast_to(scales.reshape(-1), len(bias))
        pairs = [quantize_multiplier(source.scale * scale / target.scale) for scale in per_channel]
        arrays |= {
            f"{name}.filters": np.round(filters / scales).astype(np.int8),
            f"{name}.filter_scale": scales.reshape(-1),
            f"{name}.bias": np.round(bias / (source.scale * per_channel)).astype(np.int32),
            f"{name}.multiplier": np.array([multiplier for multiplier, _ in pairs], dtype=np.int32),
            f"{name}.shift": np.array([shift for _, shift in pairs], dtype=np.int8),
            f"{name}.input_zero_point": np.int8(source.zero_point),
            f"{name}.output_zero_point": np.int8(target.zero_point),
            f"{name}.output_scale": np.float64(target.scale),
        }
        source = target
    return arrays


def _range_quantisation(values: np.ndarray) -> Quantisation:
    """Asymmetric int8 over the range of ``values``, in which zero is exact."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = (high - low) / 255
    return Quantisation(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


def _nhwc(name: str, weights: np.ndarray) -> np.ndarray:
    """Torch's channel-first weights as Eyas has them: (M, R, S, C), or (M, H * W * C) after the last CONV."""
    if name.startswith("conv"):
        return weights.transpose(0, 2, 3, 1)
    return weights.reshape(120, 16, 5, 5).transpose(0, 2, 3, 1).reshape(120, 400) if name == "fc1" else weights


def main() -> None:
    """Train, quantise, write, and report the accuracy of both."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    images, labels = digits()
    split = train_test_split(images, labels, test_size=TEST_DIGITS, stratify=labels, random_state=SEED)
    train_images, test_images, train_labels, test_labels = split
    inputs = [torch.from_numpy(part)[:, None].float() / 255 for part in (train_images, test_images)]
    model = train(inputs[0], torch.from_numpy(train_labels).long())
    with torch.no_grad():
        float_accuracy = np.mean(model(inputs[1]).argmax(dim=1).numpy() == test_labels)
    networks.DATA.mkdir(exist_ok=True)
    files = [networks.DATA / name for name in ("lenet5.npz", "digits.npz")]
    np.savez_compressed(files[0], **quantise(model, inputs[0]))
    np.savez_compressed(files[1], images=test_images, labels=test_labels)
    int8_accuracy = _int8_accuracy()
    size = sum(file.stat().st_size for file in files)
    print(f"{TEST_DIGITS} test digits: float {float_accuracy:.2%}, int8 {int8_accuracy:.2%}; {size} bytes written")
    if int8_accuracy < LEAST_ACCURACY:
        raise SystemExit(f"int8 accuracy must be at least {LEAST_ACCURACY:.1%}, not {int8_accuracy:.2%}")


def _int8_accuracy() -> float:
    """Accuracy of the files just written, computed by the golden operators."""
    inputs, labels = networks.digits()
    scores = networks.lenet5().reference(inputs)["fc3"]
    return float(np.mean(scores.reshape(len(labels), -1).argmax(axis=1) == labels))


if __name__ == "__main__":
    main()
