import Tensors

/// An immutable computation over float32 tensors: nodes in execution order, each value assigned once.
public struct Graph: Sendable {
    public struct ValueID: Hashable, Sendable, Comparable {
        public let index: Int
        public init(_ index: Int) { self.index = index }
        public static func < (a: Self, b: Self) -> Bool { a.index < b.index }
    }

    public enum Source: Sendable, Hashable {
        /// Data given anew for every run.
        case input
        /// Trained, lives in the parameter arena.
        case parameter
        /// Not trained, read from the statistics arena (running mean and variance in inference graphs).
        case buffer
        case node(index: Int, output: Int)
    }

    public struct ValueInfo: Sendable {
        public let shape: Shape
        public let source: Source
        public let name: String
    }

    public struct Node: Sendable {
        public let operation: any Operation
        public let inputs: [ValueID]
        public let outputs: [ValueID]
        /// Where in the network: `encoder1.conv1.depthwise`, or `gradient of …`.
        public let path: String

        public init(operation: any Operation, inputs: [ValueID], outputs: [ValueID], path: String) {
            self.operation = operation
            self.inputs = inputs
            self.outputs = outputs
            self.path = path
        }
    }

    public let values: [ValueInfo]
    public let nodes: [Node]
    public let inputs: [ValueID]
    public let parameters: [Parameter]
    public let buffers: [Buffer]
    /// Named results in order of declaration.
    public let outputs: [(name: String, value: ValueID)]
    /// Gradient of each trained parameter in the order of `trainedParameters`; empty in graphs that were not
    /// differentiated.
    public let parameterGradients: [ValueID]
    /// Batch statistics that training gathers, in the order in which layers were built.
    public let statistics: [Statistic]

    public func shape(of value: ValueID) -> Shape { values[value.index].shape }

    public func output(_ name: String) -> ValueID? { outputs.first { $0.name == name }?.value }

    /// Index of the node that computes a value; nil for inputs, parameters and buffers.
    public func producer(of value: ValueID) -> Int? {
        if case .node(let index, _) = values[value.index].source { return index }
        return nil
    }

    /// Parameters that are not frozen.
    public var trainedParameters: [Parameter] { parameters.filter(\.isTrained) }

    /// Number of scalars in parameters, frozen ones too.
    public var parameterCount: Int { parameters.reduce(0) { $0 + $1.shape.count } }
}

/// How a parameter's memory relates to PyTorch's layout of the same tensor: checkpoints and exports are in PyTorch's.
public enum ParameterLayout: Sendable, Hashable {
    /// Same order (vectors, matrices).
    case plain
    /// Here [kh, kw, in, out]; PyTorch [out, in, kh, kw].
    case convolution
    /// Here [kh, kw, channels]; PyTorch [channels, 1, kh, kw].
    case depthwise
    /// Here [in, kh, kw, out]; PyTorch [in, out, kh, kw].
    case transposedConvolution
    /// Of a fully connected layer, here [in, out]; PyTorch [out, in]. Either side that is a picture [height, width,
    /// channels] counts its values in this order here, and channel by channel there.
    case linear(input: Shape, output: Shape)
    /// A vector of the values of a picture [height, width, channels], in the two orders of `linear`.
    case flattened(Shape)
}

/// How a parameter starts.
public enum Initializer: Sendable, Hashable {
    case constant(Float)
    /// Uniform in ±√(6 / (fanIn + fanOut)). **Source:** Glorot, Bengio, AISTATS 2010, equation 16.
    case glorotUniform(fanIn: Int, fanOut: Int)
    /// Uniform in ±bound. With 1 / √fanIn it is what PyTorch's layers start from (Kaiming uniform with a = √5).
    case uniform(bound: Double)
    case normal(deviation: Double)
    /// Normal, drawn again beyond two deviations.
    case truncatedNormal(deviation: Double)
    /// Of a transposed convolution [in, k, k, out]: enlarges each channel by itself, linearly between pixels; zero from
    /// one channel to another. **Source:** Deep3D's released weights' filler (Caffe's `bilinear`).
    case bilinear
}

/// A tensor that training changes, unless it is frozen.
public struct Parameter: Sendable {
    public let name: String
    public let value: Graph.ValueID
    public let shape: Shape
    public let layout: ParameterLayout
    public let initializer: Initializer
    /// False: it keeps its value, and has no gradient.
    public let isTrained: Bool
    /// First element in the parameter arena (and in the gradient and optimizer arenas).
    public let offset: Int
}

/// A tensor that is read but not trained.
public struct Buffer: Sendable {
    public let name: String
    public let value: Graph.ValueID
    public let shape: Shape
    public let initial: Float
    /// First element in the statistics arena.
    public let offset: Int
}

/// Batch mean or variance of a normalisation layer, and how the running value follows it:
/// running ← running + momentum · (correction · batch − running).
public struct Statistic: Sendable {
    public enum Kind: Sendable { case mean, variance }
    /// Name of the running buffer, e.g. `encoder1.norm1.running_mean`.
    public let name: String
    public let kind: Kind
    public let value: Graph.ValueID
    public let shape: Shape
    public let momentum: Float
    /// Samples per channel n: the running variance takes n / (n − 1) times the batch variance.
    public let sampleCount: Int
    /// First element in the statistics arena.
    public let offset: Int
    public let initial: Float
}
