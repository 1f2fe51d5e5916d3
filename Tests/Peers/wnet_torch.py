"""W-net in PyTorch: the network that Vergence is compared with. The same graph, parameter names, loss and optimizer.

Separable = depthwise 3x3 without bias, pointwise 1x1 with bias, ReLU. Normalisation after the activation, eps 1e-3,
momentum 0.01 (Keras' 0.99). Dropout 0.4 in the decoder. Kernels Glorot-uniform, biases zero. Views are [N, 3, H, W] in
0…1; H and W are multiples of 16.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Separable(nn.Module):
    def __init__(self, inputs, outputs, activation=True):
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)
        self.activation = activation

    def forward(self, x):
        x = self.pointwise(self.depthwise(x))
        return F.relu(x) if self.activation else x


def normalisation(channels):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Encoder(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1, self.norm1 = Separable(inputs, outputs), normalisation(outputs)
        self.conv2, self.norm2 = Separable(outputs, outputs), normalisation(outputs)

    def forward(self, x):
        return self.norm2(self.conv2(self.norm1(self.conv1(x))))


class Decoder(nn.Module):
    def __init__(self, inputs, skip, upsampled, outputs, dropout):
        super().__init__()
        self.upsample = nn.ConvTranspose2d(inputs, upsampled, 2, stride=2)
        self.conv1, self.norm1 = nn.Conv2d(upsampled + skip, outputs, 3, padding=1), normalisation(outputs)
        self.conv2, self.norm2 = Separable(outputs, outputs), normalisation(outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, skip):
        x = torch.cat([self.upsample(x), skip], 1)
        return self.dropout(self.norm2(self.conv2(self.norm1(F.relu(self.conv1(x))))))


class View(nn.Module):
    """Probabilities over disparity levels [N, levels, H, W] of one view."""

    def __init__(self, width, levels):
        super().__init__()
        self.level4 = nn.ConvTranspose2d(4 * width, levels, 16, stride=16)
        self.level3 = nn.ConvTranspose2d(2 * width, levels, 8, stride=8)
        self.level2 = nn.ConvTranspose2d(width, levels, 4, stride=4)
        self.head = Separable(levels, levels, activation=False)

    def forward(self, c9, p2, p3, p4):
        return self.head((c9 + self.level2(p2) + self.level3(p3) + self.level4(p4)) / 4).softmax(1)


def select(image, probabilities, mirrored):
    """The other view, rebuilt: sum over k of P_k(x) image(x + s_k), zero outside; s_k = k - levels / 2, negated where
    mirrored. One padded copy, of which all shifts are views: in eager mode three times as fast as a stack of shifted
    pictures."""
    levels, width = probabilities.shape[1], image.shape[3]
    if mirrored:
        padded, probabilities = F.pad(image, (levels // 2 - 1, levels // 2)), probabilities.flip(1)
    else:
        padded = F.pad(image, (levels // 2, levels // 2 - 1))
    return (padded.unfold(3, width, 1).permute(0, 3, 1, 2, 4) * probabilities.unsqueeze(2)).sum(1)


def gradient(x):
    """Magnitude of the gradient of [N, H, W], without the two outermost pixels of each side."""
    up, down = F.pad(x[:, :-1], (0, 0, 1, 0)), F.pad(x[:, 1:], (0, 0, 0, 1))
    left, right = F.pad(x[:, :, :-1], (1, 0)), F.pad(x[:, :, 1:], (0, 1))
    squares = (x - up) ** 2 + (x - down) ** 2 + (x - left) ** 2 + (x - right) ** 2
    return (0.25 * torch.sqrt(squares + 1e-12))[:, 2:-2, 2:-2]


class WNet(nn.Module):
    def __init__(self, width=32, levels=32, dropout=0.4):
        super().__init__()
        w = width
        self.encoder1, self.encoder2, self.encoder3 = Encoder(6, w), Encoder(w, 2 * w), Encoder(2 * w, 4 * w)
        self.encoder4, self.encoder5 = Encoder(4 * w, 8 * w), Encoder(8 * w, 16 * w)
        self.decoder6 = Decoder(16 * w, 8 * w, 8 * w, 8 * w, dropout)
        self.decoder7 = Decoder(8 * w, 4 * w, 4 * w, 4 * w, dropout)
        self.decoder8 = Decoder(4 * w, 2 * w, 2 * w, 2 * w, dropout)
        self.decoder9 = Decoder(2 * w, w, 2 * w, 2 * levels, dropout)
        self.left, self.right = View(w, levels), View(w, levels)
        self.width, self.levels = width, levels
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                area = module.kernel_size[0] * module.kernel_size[1]
                depthwise = isinstance(module, nn.Conv2d) and module.groups > 1
                fans = module.in_channels * area + (1 if depthwise else module.out_channels) * area
                bound = math.sqrt(6 / fans)
                nn.init.uniform_(module.weight, -bound, bound)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def probabilities(self, left, right):
        w, n = self.width, self.levels
        c1 = self.encoder1(torch.cat([left, right], 1))
        p1 = F.max_pool2d(c1, 2)
        c2 = self.encoder2(p1)
        p2 = F.max_pool2d(c2, 2)
        c3 = self.encoder3(p2)
        p3 = F.max_pool2d(c3, 2)
        c4 = self.encoder4(p3)
        p4 = F.max_pool2d(c4, 2)
        c9 = self.decoder6(self.encoder5(p4), c4)
        c9 = self.decoder9(self.decoder8(self.decoder7(c9, c3), c2), c1)
        return (self.left(c9[:, :n], p2[:, w:], p3[:, 2 * w:], p4[:, 4 * w:]),
                self.right(c9[:, n:], p2[:, :w], p3[:, :2 * w], p4[:, :4 * w]))

    def forward(self, left, right):
        """Expected disparities (left, right) [N, H, W] and the rebuilt right and left views: what predicting needs."""
        of_left, of_right = self.probabilities(left, right)
        values = torch.arange(-self.levels // 2, self.levels // 2, dtype=left.dtype).view(1, -1, 1, 1)
        return ((of_left * values).sum(1), (of_right * values).sum(1),
                select(left, of_left, False), select(right, of_right, True))


class Loss(nn.Module):
    """L1 of the rebuilt views plus smoothness of the disparities where the pictures are smooth."""

    def __init__(self, network, smoothness=1e-3):
        super().__init__()
        self.network, self.smoothness = network, smoothness

    def forward(self, left, right):
        disparity_left, disparity_right, rebuilt_right, rebuilt_left = self.network(left, right)
        loss = ((rebuilt_right - right).abs().mean() + (rebuilt_left - left).abs().mean()) / 2
        for disparity, image in ((disparity_left, left), (disparity_right, right)):
            gray = image.mean(1)
            gray = gray / gray.amax((1, 2), keepdim=True).clamp_min(1e-12)
            loss = loss + self.smoothness * (gradient(disparity) * (1 - gradient(gray))).mean()
        return loss
