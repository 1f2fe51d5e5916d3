import Basics
import Execution
import Models
import Tensors

/// Tensors of files as a network's inputs and targets.
enum FieldTensors {
    /// Batch, height and width that tensors [N, C, H, W] stand for: those of the first field on the full grid.
    /// - Throws: `Failure` (bad data) naming a tensor that is missing or has another shape.
    static func size(
        of tensors: [NamedTensor], _ network: any Network
    ) throws -> (batch: Int, height: Int, width: Int) {
        guard let field = network.inputs.first(where: { $0.streamed.grid == .full }) else {
            preconditionFailure("\(network.name) has no input on the full grid")
        }
        guard let tensor = tensors.first(where: { $0.name == field.name }) else {
            throw Failure(.badData, "the batch has no tensor input.\(field.name)")
        }
        guard tensor.shape.rank == 4, tensor.shape[1] == field.channels, tensor.shape[0] > 0 else {
            throw Failure(
                .badData,
                "input.\(field.name) is \(tensor.shape), expected batch x \(field.channels) x height x width")
        }
        return (tensor.shape[0], tensor.shape[2], tensor.shape[3])
    }

    /// Writes tensors into a graph's inputs. A map may come as [N, H, W].
    /// - Throws: `Failure` (bad data) naming a tensor that is missing or does not fit.
    static func fill(
        _ fields: [NetworkField], from tensors: [NamedTensor], _ input: (String) -> TensorView?
    ) throws {
        for field in fields {
            let kind = field.role == .input ? "input" : "target"
            guard let tensor = tensors.first(where: { $0.name == field.name }) else {
                throw Failure(.badData, "the batch has no tensor \(kind).\(field.name)")
            }
            let known = field.hasMask ? input(field.knownName) : nil
            guard let view = input(field.name) ?? known else { continue }
            let d = view.shape.dimensions
            guard tensor.shape == [d[0], d[3], d[1], d[2]] || (d[3] == 1 && tensor.shape == [d[0], d[1], d[2]]) else {
                throw Failure(
                    .badData, "\(kind).\(field.name) is \(tensor.shape), expected \(Shape([d[0], d[3], d[1], d[2]]))")
            }
            let values = FloatArena(count: view.count)
            PictureOrder.channelsLast(tensor.values, d[0], d[3], d[1], d[2], into: values.base)
            NetworkFeed.copy(TensorView(values.base, view.shape), field, into: input(field.name), known: known)
        }
    }
}
