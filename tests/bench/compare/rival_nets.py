"""The networks of train.c in PyTorch."""
from torch import nn


def mnist():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10))


def net_a():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10))


def official():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 10), nn.LogSoftmax(1))


def mlp():
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


class First(nn.Module):
    """The first output of a module that has several."""

    def __init__(self, inner, call):
        super().__init__()
        self.inner, self.call = inner, call

    def forward(self, x):
        return self.call(self.inner, x)[0]


def lstm():
    net = nn.LSTM(64, 128, num_layers=2, batch_first=True)
    return nn.Sequential(First(net, lambda m, x: m(x)), nn.Flatten(), nn.Linear(64 * 128, 10))


def attention():
    net = nn.MultiheadAttention(384, 6, batch_first=True)
    return nn.Sequential(First(net, lambda m, x: m(x, x, x, need_weights=False)), nn.Flatten(),
                         nn.Linear(197 * 384, 10))


def unit(inputs, outputs, kernel, stride):
    """A convolution that keeps the image's size, but for the stride, and its BatchNorm."""
    return (nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """Kernels 3, 3 make a basic block, kernels 1, 3, 1 a bottleneck."""

    def __init__(self, inputs, outputs, stride, kernels):
        super().__init__()
        inner = outputs // (4 if len(kernels) == 3 else 1)
        widths = [inputs] + [inner] * (len(kernels) - 1) + [outputs]
        strides = [1, stride, 1] if len(kernels) == 3 else [stride, 1]
        for i, k in enumerate(kernels):
            conv, bn = unit(widths[i], widths[i + 1], k, strides[i])
            setattr(self, f"conv{i + 1}", conv)
            setattr(self, f"bn{i + 1}", bn)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if inputs != outputs or stride > 1:
            self.downsample = nn.Sequential(*unit(inputs, outputs, 1, stride))
        self.count = len(kernels)

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.count:
                y = self.relu(y)
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self, blocks, kernels, classes, cifar_stem):
        super().__init__()
        self.conv1, self.bn1 = unit(3, 64, 3, 1) if cifar_stem else unit(3, 64, 7, 2)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if cifar_stem else nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for i, count in enumerate(blocks):
            outputs = (64 << i) * (4 if len(kernels) == 3 else 1)
            stage = []
            for k in range(count):
                stage.append(Block(inputs, outputs, 2 if i > 0 and k == 0 else 1, kernels))
                inputs = outputs
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def resnet18():
    return ResNet([2, 2, 2, 2], [3, 3], 10, True)


def resnet50():
    return ResNet([3, 4, 6, 3], [1, 3, 1], 1000, False)
