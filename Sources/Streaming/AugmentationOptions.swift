import Basics

/// Augmentation as users write it: one list of names, ranges and help for training, `bench` and `vergence-shards show`.
public struct AugmentationOptions: Sendable, Equatable {
    public var mirror = false
    public var scale = 1.0...1.0
    public var rotate = 0.0
    public var brightness = 0.0
    public var contrast = 0.0
    public var gamma = 0.0
    public var saturation = 0.0
    public var hue = 0.0
    public var channelGain = 0.0
    public var permuteChannels = 0.0
    public var noise = 0.0
    public var eyeColours = 0.0

    public init() {}

    /// One named value.
    public struct Field: Sendable {
        public let name: String
        public let help: String
        /// Whether it is on or off and needs no value.
        public let isFlag: Bool
        /// nil, or why the text is not a value.
        public let parse: @Sendable (String, inout AugmentationOptions) -> String?
        public let format: @Sendable (AugmentationOptions) -> String
    }

    public static let fields: [Field] = [
        Field(
            name: "mirror", help: "mirror half of the samples; the eyes of pairs change places", isFlag: true,
            parse: { text, options in
                guard let value = Bool(text) else { return "give true or false" }
                options.mirror = value
                return nil
            }, format: { "\($0.mirror)" }),
        Field(
            name: "scale",
            help:
                "enlarge by 1…this, or low...high, never below what fills the sample; disparity times it, depth by it",
            isFlag: false,
            parse: { text, options in
                guard let range = scaleRange(text) else { return "give a number in 1…4, or low...high in 0.5…4" }
                options.scale = range
                return nil
            },
            format: { options in
                let (low, high) = (options.scale.lowerBound, options.scale.upperBound)
                return low == 1 ? "\(high)" : "\(low)...\(high)"
            }),
        number("rotate", "turn by ± this many degrees, enlarged to stay inside; not for pairs", \.rotate, 45),
        number("brightness", "random brightness factor 1 ± this", \.brightness, 0.9),
        number("contrast", "random contrast factor 1 ± this, about the picture's mean gray", \.contrast, 0.9),
        number("gamma", "random gamma 1 ± this", \.gamma, 0.9),
        number("saturation", "random saturation factor 1 ± this", \.saturation, 0.9),
        number("hue", "random turn of the hue by ± this part of the circle", \.hue, 0.5),
        number("channel-gain", "random factor 1 ± this on each of red, green and blue", \.channelGain, 0.9),
        number("permute-channels", "probability of another order of red, green and blue", \.permuteChannels, 1),
        number("noise", "noise on every value, standard deviation 0…this of full scale", \.noise, 0.5),
        number("eye-colours", "probability that a pair's eyes draw light and colour apart", \.eyeColours, 1),
    ]

    /// Sets one by name.
    /// - Throws: `Failure` (usage) for an unknown name or a value that does not fit.
    public mutating func set(_ name: String, to text: String, place: String) throws {
        guard let field = Self.fields.first(where: { $0.name == name }) else {
            let names = Self.fields.map(\.name)
            throw Failure(
                .usage,
                "\(place): unknown augmentation '\(name)'\(suggestion(for: name, among: names)); choose of "
                    + names.joined(separator: ", "))
        }
        if let problem = field.parse(text, &self) {
            throw Failure(.usage, "\(place): \(name) is '\(text)'; \(problem)")
        }
    }

    /// Reads `mirror,scale=1.5,hue=0.1`.
    public init(text: String, place: String) throws {
        for item in text.split(separator: ",") {
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0]).trimmingSpaces
            if parts.count == 2 {
                try set(name, to: String(parts[1]).trimmingSpaces, place: place)
            } else if Self.fields.contains(where: { $0.name == name && !$0.isFlag }) {
                throw Failure(.usage, "\(place): \(name) needs a value, such as \(name)=0.2")
            } else {
                try set(name, to: "true", place: place)
            }
        }
    }

    /// What a loader does.
    public func settings(crop: AugmentationSettings.Crop) throws -> AugmentationSettings {
        func around(_ part: Double) -> ClosedRange<Double> { (1 - part)...(1 + part) }
        var settings = try AugmentationSettings(
            mirrorProbability: mirror ? 0.5 : 0, brightness: around(brightness), gamma: around(gamma), crop: crop)
        settings.scale = scale
        settings.rotationDegrees = rotate
        settings.contrast = around(contrast)
        settings.saturation = around(saturation)
        settings.hue = hue
        settings.channelGain = around(channelGain)
        settings.permutationProbability = permuteChannels
        settings.noise = noise
        settings.eyeProbability = eyeColours
        return settings
    }

    /// Refuses what would make the truth untrue.
    /// - Throws: `Failure` (usage) if pairs were to be turned.
    public func check(fields: [StreamedField]) throws {
        if rotate > 0, Set(fields.compactMap { FieldName.eye(of: $0.name) }).count == 2 {
            throw Failure(
                .usage,
                "rotate \(rotate): turning a pair tilts the rows along which disparities lie; leave it out for a network "
                    + "that reads both eyes")
        }
    }

    private static func scaleRange(_ text: String) -> ClosedRange<Double>? {
        func value(_ text: Substring) -> Double? { Double(text).flatMap { (0.5...4).contains($0) ? $0 : nil } }
        guard let dots = text.firstRange(of: "...") else {
            return value(text[...]).flatMap { $0 >= 1 ? 1...$0 : nil }
        }
        guard let low = value(text[..<dots.lowerBound]), let high = value(text[dots.upperBound...]), low <= high
        else { return nil }
        return low...high
    }

    private static func number(
        _ name: String, _ help: String, _ path: WritableKeyPath<AugmentationOptions, Double> & Sendable, _ limit: Double
    ) -> Field {
        Field(
            name: name, help: help, isFlag: false,
            parse: { text, options in
                guard let value = Double(text), (0...limit).contains(value) else {
                    return "give a number in 0.0…\(limit)"
                }
                options[keyPath: path] = value
                return nil
            }, format: { "\($0[keyPath: path])" })
    }
}

extension String {
    fileprivate var trimmingSpaces: String {
        var text = self[...]
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
