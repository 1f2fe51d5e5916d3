import Models
import Streaming
import Tensors

/// Carries samples of batches into the inputs of a graph, encoded as the network wants them. Allocates nothing per
/// batch.
struct NetworkFeed {
    private struct Port {
        let field: NetworkField
        let view: TensorView?
        let known: TensorView?
    }
    private let ports: [Port]

    /// - Parameter input: memory of a graph's input by name, nil where the graph does not read it.
    init(_ network: any Network, input: (String) -> TensorView?) {
        ports = network.graphFields.map {
            Port(field: $0, view: input($0.name), known: $0.hasMask ? input($0.knownName) : nil)
        }
    }

    /// Fills the inputs with a whole batch, which must have their number of samples.
    func fill(_ batch: LaneBatch) { fill(batch, from: 0) }

    /// Fills the inputs with the samples from `position` on.
    func fill(_ batch: LaneBatch, from position: Int) {
        for port in ports {
            guard let any = port.view ?? port.known else { continue }
            guard let source = batch[port.field.name] else {
                preconditionFailure("batches have no field \(port.field.name)")
            }
            let sampleCount = source.count / source.shape[0]
            let count = any.shape[0] * sampleCount
            precondition(position + any.shape[0] <= source.shape[0], "samples from \(position) of \(source.shape)")
            Self.encode(
                UnsafeBufferPointer(start: source.base + position * sampleCount, count: count), port.field,
                into: port.view, known: port.known)
        }
    }

    /// Writes a field's values, encoded, and where they are known.
    static func encode(
        _ source: UnsafeBufferPointer<Float>, _ field: NetworkField, into view: TensorView?, known: TensorView?
    ) {
        precondition(
            (view ?? known).map { $0.count == source.count } ?? true, "\(source.count) values of \(field.name)")
        if let view, let base = source.baseAddress {
            switch field.encoding {
            case .plain:
                view.base.update(from: base, count: source.count)
            case .standardized, .logarithm, .reciprocal:
                for i in 0..<source.count {
                    view.base[i] =
                        field.encoding.isKnown(base[i])
                        ? field.encoding.encoded(base[i], channel: i % field.channels) : .nan
                }
            }
            if field.hasMask {
                for i in 0..<source.count where !field.encoding.isKnown(base[i]) { view.base[i] = 0 }
            }
        }
        if let known {
            for i in 0..<source.count { known.base[i] = field.encoding.isKnown(source[i]) ? 1 : 0 }
        }
    }

    /// The same of values that are encoded already; NaN = unknown.
    static func copy(_ values: TensorView, _ field: NetworkField, into view: TensorView?, known: TensorView?) {
        if let view { view.base.update(from: values.base, count: values.count) }
        guard field.hasMask else { return }
        for i in 0..<values.count {
            let isKnown = values.base[i].isFinite
            if !isKnown, let view { view.base[i] = 0 }
            if let known { known.base[i] = isKnown ? 1 : 0 }
        }
    }
}
