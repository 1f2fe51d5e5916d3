import Basics
import Foundation
import Graphs
import Models
import Tensors
import Training

/// Weights and pictures made by integer hashing alone, so that any implementation can make the same numbers.
enum HashingFixtures {
    /// u(name, i) in −0.5 ..< 0.5.
    static func uniform(_ name: String, _ count: Int) -> [Float] {
        let offset = Hash.fnv1a32(name)
        return (0..<count).map { i in
            var x = UInt32(truncatingIfNeeded: i) &* 0x9E37_79B1 &+ offset
            x ^= x >> 16
            x &*= 0x7FEB_352D
            x ^= x >> 15
            x &*= 0x846C_A68B
            x ^= x >> 16
            return Float(Double(x) / 4_294_967_296 - 0.5)
        }
    }

    /// Values in 0…1.
    static func input(_ name: String, _ count: Int) -> [Float] { uniform(name, count).map { $0 + 0.5 } }

    /// Parameters of a network, in PyTorch's order.
    static func fill(_ state: ModelState) {
        for parameter in state.parameters {
            let shape = parameter.externalShape
            let u = uniform(parameter.name, shape.count)
            let values: [Float]
            if shape.rank >= 2 {
                let outputs = parameter.layout == .transposedConvolution ? shape[1] : shape[0]
                let scale = Float((3 / Double(shape.count / outputs)).squareRoot())
                values = u.map { 2 * $0 * scale }
            } else if parameter.name.hasSuffix(".bias") {
                values = u.map { 0.2 * $0 }
            } else {
                values = u.map { 1 + 0.2 * $0 }
            }
            parameter.import(values, to: state.parameterArena.base)
        }
        for slot in state.statisticSlots {
            let u = uniform(slot.name, slot.count)
            let values = slot.name.hasSuffix("running_var") ? u.map { 1 + 0.2 * $0 } : u.map { 0.2 * $0 }
            for arena in [state.trainingStatistics, state.inferenceStatistics] {
                (arena.base + slot.offset).update(from: values, count: slot.count)
            }
        }
    }

    /// Pictures with texture: blocks of 8 x 8 plus grain, [N, 3, H, W].
    static func picture(_ name: String, batch: Int, height: Int, width: Int) -> NamedTensor {
        let (blockRows, blockColumns) = (height / 8, width / 8)
        let coarse = input(name + ".coarse", batch * 3 * blockRows * blockColumns)
        let fine = input(name + ".fine", batch * 3 * height * width)
        var values = [Float](repeating: 0, count: fine.count)
        for plane in 0..<(batch * 3) {
            for y in 0..<height {
                for x in 0..<width {
                    let i = (plane * height + y) * width + x
                    let block = (plane * blockRows + y / 8) * blockColumns + x / 8
                    values[i] = 0.7 * coarse[block] + 0.3 * fine[i]
                }
            }
        }
        return NamedTensor(name, [batch, 3, height, width], values)
    }
}

/// The reference numbers, computed in float64.
struct WNetFixture: Decodable {
    struct Tensor: Decodable {
        let l2: Double
        let picks: [Double]
    }
    struct Evaluation: Decodable {
        let loss: Double
        let reconstruction: Double
        let smoothness: Double
        let left: Tensor
        let right: Tensor?
        enum CodingKeys: String, CodingKey {
            case loss, reconstruction, smoothness
            case left = "disparity.left"
            case right = "disparity.right"
        }
    }
    let eval: Evaluation
    let train: Evaluation
    let gradients: [String: Tensor]
    let after: [String: Tensor]

    static func load() throws -> WNetFixture {
        guard let url = Bundle.module.url(forResource: "wnet_golden", withExtension: "json", subdirectory: "Fixtures")
        else { throw CocoaError(.fileNoSuchFile) }
        return try JSONDecoder().decode(WNetFixture.self, from: Data(contentsOf: url))
    }
}
