import Graphs
import Kernels

/// One of the two views of a stereo pair.
public enum Eye: String, Sendable { case left, right }

/// How a view follows from another picture and a distribution over shifts, so that it can be made at the size of the picture.
public struct ViewRendering: Sendable, Hashable {
    /// Whole pixels of the network's input: channel `emptyChannels` + k stands for the shift first + k · step.
    public struct Shifts: Sendable, Hashable {
        public let first: Int
        /// +1 or −1.
        public let step: Int
        public let count: Int
        /// Channels in front that show nothing.
        public let emptyChannels: Int
        public let border: SelectionBorder

        public init(first: Int, step: Int, count: Int, emptyChannels: Int, border: SelectionBorder) {
            self.first = first
            self.step = step
            self.count = count
            self.emptyChannels = emptyChannels
            self.border = border
        }

        public var all: [Int] { (0..<count).map { first + $0 * step } }
    }

    /// Name of the output with the distribution, [N, H, W, emptyChannels + count].
    public let probability: String
    /// The field whose picture is shifted.
    public let source: String
    public let shifts: Shifts

    public init(probability: String, source: String, shifts: Shifts) {
        self.probability = probability
        self.source = source
        self.shifts = shifts
    }
}

/// What a network computes.
public struct NetworkResult {
    /// A dense result that prediction writes and evaluation measures.
    public struct Map: Sendable, Hashable {
        public enum Kind: String, Sendable {
            /// Pixels of the training width, positive = nearer.
            case disparity
            /// Metres.
            case depth
            /// Depth in 0…1 without a unit, as data sets of pictures have it.
            case relativeDepth = "relative depth"
            /// Probability in 0…1.
            case mask
            /// A picture that the network makes.
            case view
        }

        public let kind: Kind
        /// Whose pixels it lives in; nil where there is one picture only.
        public let eye: Eye?
        /// Name of the output that holds it, [N, h, w, 1], or [N, h, w, 3] of a view.
        public let output: String
        /// Field of the records with the truth, on the same grid; nil: there is none.
        public let truth: String?
        /// Turns its values into those that records have.
        public let encoding: FieldEncoding
        /// Pixels of the network's input on each side that the map leaves out.
        public let margin: Int
        /// How a view is made at another size than the network's; nil: as it is, enlarged.
        public let rendering: ViewRendering?

        public init(
            _ kind: Kind, of eye: Eye? = nil, _ output: String, truth: String?, encoding: FieldEncoding = .plain,
            margin: Int = 0, rendering: ViewRendering? = nil
        ) {
            self.kind = kind
            self.eye = eye
            self.output = output
            self.truth = truth
            self.encoding = encoding
            self.margin = margin
            self.rendering = rendering
        }

        public static func disparity(of eye: Eye, _ output: String, truth: String? = nil) -> Map {
            .init(.disparity, of: eye, output, truth: truth)
        }

        /// A view that the network rebuilds, measured against the field of that name.
        public static func view(
            of eye: Eye, _ output: String, encoding: FieldEncoding = .plain, rendering: ViewRendering? = nil
        ) -> Map {
            .init(.view, of: eye, output, truth: eye.rawValue, encoding: encoding, rendering: rendering)
        }

        /// `disparity_left`, `right_rebuilt`, `depth`, `mask`: in names of files.
        public var name: String {
            switch kind {
            case .view: eye.map { "\($0.rawValue)_rebuilt" } ?? "rebuilt"
            case .relativeDepth: "depth"
            case .disparity, .depth, .mask: eye.map { "\(kind.rawValue)_\($0.rawValue)" } ?? kind.rawValue
            }
        }

        public var channels: Int { kind == .view ? 3 : 1 }
    }

    public let loss: Value
    /// Parts of the loss, before their weights.
    public let terms: [(name: String, value: Value)]
    public let outputs: [(name: String, value: Value)]
    public let maps: [Map]

    public init(
        loss: Value, terms: [(name: String, value: Value)], outputs: [(name: String, value: Value)], maps: [Map]
    ) {
        self.loss = loss
        self.terms = terms
        self.outputs = outputs
        self.maps = maps
    }
}
