"""The networks other than W-net in PyTorch, with the same parameter names: peers for exchanging weights.

Pictures are [N, 3, H, W] as the layers take them (encoded); `make` knows how each network is built in small.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F

from wnet_torch import WNet


def convolution_norm_relu(inputs, outputs):
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]


class MaskNet3(nn.Module):
    """background, image → mask's logits"""

    def __init__(self):
        super().__init__()
        self.bg = nn.Sequential(*convolution_norm_relu(3, 32))
        self.bg_fg = nn.Sequential(*convolution_norm_relu(3, 32))
        self.body = nn.Sequential(*convolution_norm_relu(64, 64), *convolution_norm_relu(64, 64), nn.Conv2d(64, 1, 1))

    def forward(self, background, image):
        return {"mask.logits": self.body(torch.cat([self.bg(background), self.bg_fg(image)], 1))}


class ResidualEncoder(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.main = nn.Sequential(nn.MaxPool2d(2), *convolution_norm_relu(inputs, outputs),
                                  *convolution_norm_relu(outputs, outputs))
        self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return F.relu(self.main(x) + self.skip(x))


class AdditiveDecoder(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.reduce = nn.Conv2d(inputs, outputs, 1)
        self.body = nn.Sequential(*convolution_norm_relu(outputs, outputs), *convolution_norm_relu(outputs, outputs))

    def forward(self, x, features):
        x = F.interpolate(self.reduce(x), scale_factor=2, mode="bilinear", align_corners=False)
        return self.body(x + features)


class DepthMaskNet8(nn.Module):
    """background, image → logits of mask and depth"""

    def __init__(self):
        super().__init__()
        self.stem_bg = nn.Sequential(*convolution_norm_relu(3, 16), *convolution_norm_relu(16, 16))
        self.stem_fg = nn.Sequential(*convolution_norm_relu(3, 16), *convolution_norm_relu(16, 16))
        self.enc_bg, self.enc_fg = ResidualEncoder(16, 16), ResidualEncoder(16, 16)
        self.enc1, self.enc2 = ResidualEncoder(32, 64), ResidualEncoder(64, 128)
        self.enc3, self.enc4 = ResidualEncoder(128, 256), ResidualEncoder(256, 512)
        self.mask = nn.ModuleList(AdditiveDecoder(i, i // 2) for i in (256, 128, 64, 32))
        self.depth = nn.ModuleList(AdditiveDecoder(i, i // 2) for i in (512, 256, 128, 64, 32))
        self.mask_out, self.depth_out = nn.Conv2d(16, 1, 1), nn.Conv2d(16, 1, 1)

    def forward(self, background, image):
        background, image = self.stem_bg(background), self.stem_fg(image)
        half = torch.cat([self.enc_bg(background), self.enc_fg(image)], 1)
        quarter = self.enc1(half)
        eighth = self.enc2(quarter)
        sixteenth = self.enc3(eighth)
        first = self.mask[0](sixteenth, eighth)
        second = self.mask[1](first, quarter)
        fourth = self.mask[3](self.mask[2](second, half), image)
        depth = self.depth[0](self.enc4(sixteenth), sixteenth)
        depth = self.depth[1](depth, eighth) + first
        depth = self.depth[2](depth, quarter) + second
        depth = self.depth[3](depth, half) + half
        depth = self.depth[4](depth, image)
        return {"mask.logits": self.mask_out(fourth), "depth.logits": self.depth_out(depth)}


class Deep3D(nn.Module):
    """The article's variant: left view, its mean taken off → logits of 33 channels"""

    def __init__(self, width, full, size):
        super().__init__()
        widths, inputs = [width * factor for factor in (1, 2, 4, 8, 8)], 3
        self.convs = nn.ModuleList()
        for count, outputs in zip((2, 2, 3, 3, 3), widths):
            self.convs.append(nn.ModuleList(
                nn.Conv2d(inputs if k == 0 else outputs, outputs, 3, padding=1) for k in range(count)))
            inputs = outputs
        self.grid = (size[0] // 32, size[1] // 32)
        self.fc6 = nn.Linear(inputs * self.grid[0] * self.grid[1], full)
        self.fc7, self.fc8 = nn.Linear(full, full), nn.Linear(full, 33 * self.grid[0] * self.grid[1])
        self.norms = nn.ModuleList(nn.BatchNorm2d(o, eps=1e-3) for o in widths[:4])
        self.preds = nn.ModuleList(nn.Conv2d(o, 33, 3, padding=1) for o in widths[:4])
        self.ups = nn.ModuleList(self.enlargement(scale) for scale in (1, 2, 4, 8, 16))
        self.up, self.head = self.enlargement(2), nn.Conv2d(33, 33, 3, padding=1)

    @staticmethod
    def enlargement(scale):
        return nn.ConvTranspose2d(33, 33, 1 if scale == 1 else 2 * scale, stride=scale, padding=scale // 2)

    def forward(self, left):
        x, pooled = left, []
        for stage in self.convs:
            for layer in stage:
                x = F.relu(layer(x))
            x = F.max_pool2d(x, 2)
            pooled.append(x)
        full = F.relu(self.fc8(F.relu(self.fc7(F.relu(self.fc6(x.flatten(1)))))))
        branches = [F.relu(pred(norm(p))) for pred, norm, p in zip(self.preds, self.norms, pooled)]
        branches.append(full.view(-1, 33, *self.grid))
        total = sum(up(branch) for up, branch in zip(self.ups, branches))
        return {"logits": self.head(F.relu(self.up(F.relu(total))))}


def keras_norm(channels):
    return nn.BatchNorm2d(channels, eps=1.001e-5, momentum=0.01)


class DenseLayer(nn.Module):
    def __init__(self, inputs, growth):
        super().__init__()
        self.norm1, self.conv1 = keras_norm(inputs), nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2, self.conv2 = keras_norm(4 * growth), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))], 1)


class Transition(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.norm, self.conv = keras_norm(inputs), nn.Conv2d(inputs, inputs // 2, 1, bias=False)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class DenseNet(nn.Module):
    def __init__(self, blocks, growth):
        super().__init__()
        channels = 2 * growth
        self.conv0, self.norm0 = nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False), keras_norm(channels)
        self.blocks, self.transitions, self.channels = nn.ModuleList(), nn.ModuleList(), [channels, channels]
        for number, count in enumerate(blocks):
            self.blocks.append(nn.Sequential(*[DenseLayer(channels + growth * k, growth) for k in range(count)]))
            channels += growth * count
            if number < len(blocks) - 1:
                self.transitions.append(Transition(channels))
                channels //= 2
            self.channels.append(channels)
        self.norm5 = keras_norm(channels)

    def forward(self, x):
        features = [F.relu(self.norm0(self.conv0(x)))]
        features.append(F.max_pool2d(features[0], 3, stride=2, padding=1))
        for block, transition in zip(self.blocks, self.transitions):
            features.append(transition(block(features[-1])))
        return features[:4] + [F.relu(self.norm5(self.blocks[-1](features[-1])))]


class UpBlock(nn.Module):
    def __init__(self, inputs, skip, outputs):
        super().__init__()
        self.convA, self.convB = nn.Conv2d(inputs + skip, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x, skip):
        x = torch.cat([F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True), skip], 1)
        return F.leaky_relu(self.convB(F.leaky_relu(self.convA(x), 0.2)), 0.2)


class DenseDepth(nn.Module):
    """The paper's style: picture → encoded depth of half its size"""

    def __init__(self, blocks, growth, width):
        super().__init__()
        self.encoder = DenseNet(blocks, growth)
        channels = self.encoder.channels
        self.conv2 = nn.Conv2d(channels[-1], width, 1)
        self.ups = nn.ModuleList(
            UpBlock(width >> k, channels[3 - k], width >> (k + 1)) for k in range(4))
        self.conv3 = nn.Conv2d(width // 16, 1, 3, padding=1)

    def forward(self, image):
        features = self.encoder(image)
        x = self.conv2(features[4])
        for number, up in enumerate(self.ups):
            x = up(x, features[3 - number])
        return {"depth": self.conv3(x)}


class EigenCoarse(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 96, 11, stride=4, padding=2), nn.Conv2d(96, 256, 5, padding=2)
        self.conv3, self.conv4 = nn.Conv2d(256, 384, 3, padding=1), nn.Conv2d(384, 384, 3, padding=1)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1)
        self.full1, self.full2 = nn.Linear(256 * 6 * 8, hidden), nn.Linear(hidden, 55 * 74)

    def forward(self, image):
        def pooled(x):
            return F.relu(F.max_pool2d(x, 3, stride=2))

        def normalised(x):
            return F.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2)

        x = normalised(pooled(self.conv1(image - 128)))
        x = F.relu(self.conv4(F.relu(self.conv3(normalised(pooled(self.conv2(x)))))))
        x = 0.01 * pooled(self.conv5(x))
        # Inference with half of the units dropped in training.
        return self.full2(0.5 * F.relu(self.full1(x.flatten(1)))).view(-1, 1, 55, 74)


class EigenFine(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 64, 9, stride=2, padding=1), nn.Conv2d(64, 64, 5, padding=2)
        self.conv3 = nn.ConvTranspose2d(64, 1, 5, padding=2)

    def forward(self, image, coarse):
        x = F.max_pool2d(F.relu(self.conv1((image - 109.31410628) / 76.18328376)), 3, stride=2)
        return self.conv3(F.relu(self.conv2(torch.cat([coarse, x[:, 1:]], 1))))


class Eigen(nn.Module):
    """Picture in 0…255 → logarithm of depth, by the coarse network alone or refined"""

    def __init__(self, hidden, is_fine):
        super().__init__()
        self.coarse = EigenCoarse(hidden)
        self.fine = EigenFine() if is_fine else None

    def forward(self, image):
        coarse = self.coarse(image)
        return {"depth": self.fine(image, coarse)} if self.fine else {"depth": coarse}


class WNetOutputs(WNet):
    def forward(self, left, right):
        names = ("disparity.left", "disparity.right", "right_hat", "left_hat")
        return dict(zip(names, super().forward(left, right)))


class Peer:
    """A network in small: its settings there, the module here, and the fields of its inputs."""

    def __init__(self, settings, module, fields, size, scale=1.0):
        self.settings, self.module, self.fields, self.size, self.scale = settings, module, fields, size, scale


PEERS = {
    "wnet": Peer(["width=8", "levels=8", "dropout=0"], lambda: WNetOutputs(width=8, levels=8, dropout=0),
                 ["left", "right"], (32, 64)),
    "masknet3": Peer([], MaskNet3, ["background", "image"], (32, 48)),
    "depthmasknet8": Peer([], DepthMaskNet8, ["background", "image"], (64, 96)),
    "deep3d": Peer(["width=8", "fc=24", "input-height=64", "input-width=96"],
                   lambda: Deep3D(8, 24, (64, 96)), ["left"], (64, 96), scale=2.0),
    "densedepth": Peer(["encoder=small", "growth=8", "width=64"], lambda: DenseDepth([2, 4, 6, 4], 8, 64), ["image"],
                       (64, 96)),
    "eigen-coarse": Peer(["hidden=32"], lambda: Eigen(32, False), ["image"], (228, 304), scale=255.0),
    "eigen-fine": Peer(["hidden=32"], lambda: Eigen(32, True), ["image"], (228, 304), scale=255.0),
}
