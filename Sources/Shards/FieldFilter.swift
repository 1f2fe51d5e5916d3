import Basics
import CFilters

/// Reversible change of a field's bytes before LZ4. Raw values are on disk: never renumber.
public enum FieldFilter: UInt8, Sendable, CaseIterable {
    /// The array's bytes as they are.
    case none = 0
    /// Median edge predictor per channel plane, residuals zigzagged; wider elements as byte planes.
    case predictedBytes = 1
    /// The same residuals as bit planes. uint8 and uint16.
    case predictedBits = 2
    /// Byte planes of the elements. uint16 and float32.
    case bytePlanes = 3
    /// The residuals of `predictedBytes`, entropy-coded: the one payload whose size depends on what is in the picture. uint8.
    case codedResiduals = 4

    public var name: String {
        switch self {
        case .none: "none"
        case .predictedBytes: "predicted bytes"
        case .predictedBits: "predicted bits"
        case .bytePlanes: "byte planes"
        case .codedResiduals: "coded residuals"
        }
    }

    static func candidates(for element: ElementType) -> [FieldFilter] {
        switch element {
        case .uint8: [.none, .predictedBytes, .predictedBits, .codedResiduals]
        case .uint16: [.none, .predictedBytes, .predictedBits, .bytePlanes]
        case .float32: [.none, .predictedBytes, .bytePlanes]
        }
    }
}

/// Shape of a field as stored.
struct FieldShape: Equatable {
    let height: Int
    let width: Int
    let channels: Int
    let element: ElementType

    var pixelCount: Int { height * width }
    var elementCount: Int { pixelCount * channels }
    var byteCount: Int { elementCount * element.byteCount }

    var isWithinLimits: Bool {
        // Sides below 2^20 and channels below 2^7 keep the product far from overflow.
        (1...ShardLimits.side).contains(height) && (1...ShardLimits.side).contains(width)
            && (1...ShardLimits.channels).contains(channels) && byteCount <= ShardLimits.fieldBytes
    }

    /// Bytes of the filtered payload; of one that depends on the picture, what the writer must have room for.
    func payloadByteCount(_ filter: FieldFilter) -> Int {
        switch filter {
        case .none, .predictedBytes, .bytePlanes: byteCount
        case .predictedBits:
            element == .uint8
                ? channels * cf_bit_plane_bytes(pixelCount) : element.byteCount * cf_bit_plane_bytes(elementCount)
        case .codedResiduals: cf_coded_bound(byteCount, channels)
        }
    }

    /// Whether a payload may have so many bytes.
    func allows(payloadByteCount count: UInt64, _ filter: FieldFilter) -> Bool {
        filter == .codedResiduals ? count <= UInt64(byteCount) : count == UInt64(payloadByteCount(filter))
    }
}

/// Applies filters and takes them back, with scratch memory of its own. Not for several threads at once.
final class FilterEngine {
    private let table: UnsafePointer<cf_table>
    private let residuals = ScratchBuffer()
    private let planes = ScratchBuffer()
    private let bands = ScratchBuffer()
    private let level: Int32

    /// Levels that this CPU has.
    static var levels: [Int32] { Array(0...cf_best_level()) }

    /// `level`: of CFilters; all levels give the same bytes.
    init(level: Int32 = cf_best_level()) {
        guard let table = cf_filters(level) else { preconditionFailure("filter level \(level) is not on this CPU") }
        self.table = table
        self.level = level
    }

    /// - Returns: the payload's bytes: `payload`, which holds `payloadByteCount(filter)`, is filled so far.
    @discardableResult
    func apply(
        _ filter: FieldFilter, _ shape: FieldShape, from source: UnsafeRawBufferPointer,
        to payload: UnsafeMutableRawBufferPointer
    ) -> Int {
        precondition(source.count == shape.byteCount && payload.count == shape.payloadByteCount(filter))
        guard let input = source.baseAddress, let output = payload.baseAddress else { return 0 }
        let out = output.assumingMemoryBound(to: UInt8.self)
        switch filter {
        case .none: payload.copyMemory(from: source)
        case .bytePlanes:
            cf_split_bytes(
                input.assumingMemoryBound(to: UInt8.self), shape.elementCount, shape.element.byteCount, out)
        case .predictedBytes where shape.element == .uint8: predict(shape, input, output)
        case .predictedBytes:
            let bytes = predict(shape, input)
            cf_split_bytes(bytes, shape.elementCount, shape.element.byteCount, out)
        case .predictedBits where shape.element == .uint8:
            let bytes = predict(shape, input)
            let planeByteCount = cf_bit_plane_bytes(shape.pixelCount)
            for channel in 0..<shape.channels {
                table.pointee.split_bits(
                    bytes + channel * shape.pixelCount, shape.pixelCount, out + channel * planeByteCount)
            }
        case .predictedBits:
            let bytes = predict(shape, input)
            let split = planes.uint8s(shape.byteCount)
            cf_split_bytes(bytes, shape.elementCount, shape.element.byteCount, split)
            let planeByteCount = cf_bit_plane_bytes(shape.elementCount)
            for plane in 0..<shape.element.byteCount {
                table.pointee.split_bits(
                    split + plane * shape.elementCount, shape.elementCount, out + plane * planeByteCount)
            }
        case .codedResiduals:
            precondition(shape.element == .uint8)
            return cf_code8(
                predict(shape, input), shape.pixelCount, shape.width, shape.channels, out, payload.count)
        }
        return payload.count
    }

    /// Memory where a payload that needs no further unpacking may be decoded to, with the room filters want around it.
    func payloadBuffer(_ byteCount: Int) -> UnsafeMutableRawBufferPointer { planes.bytes(byteCount) }

    /// `payload` must lie in memory with `ScratchBuffer.padding` readable bytes around it.
    /// - Returns: false if the payload is none of this filter; `target` then holds anything.
    func invert(
        _ filter: FieldFilter, _ shape: FieldShape, from payload: UnsafeRawBufferPointer,
        to target: UnsafeMutableRawBufferPointer
    ) -> Bool {
        precondition(
            target.count == shape.byteCount
                && (filter == .codedResiduals || payload.count == shape.payloadByteCount(filter)))
        guard let input = payload.baseAddress, let output = target.baseAddress else { return false }
        let bytes = input.assumingMemoryBound(to: UInt8.self)
        let out = output.assumingMemoryBound(to: UInt8.self)
        switch filter {
        case .none: target.copyMemory(from: payload)
        case .bytePlanes: cf_join_bytes(bytes, shape.elementCount, shape.element.byteCount, out)
        case .predictedBytes where shape.element == .uint8: unpredict(shape, input, output)
        case .predictedBytes:
            let joined = residuals.pointer(shape.byteCount)
            cf_join_bytes(
                bytes, shape.elementCount, shape.element.byteCount, joined.assumingMemoryBound(to: UInt8.self))
            unpredict(shape, joined, output)
        case .predictedBits where shape.element == .uint8:
            let joined = residuals.uint8s(shape.byteCount)
            let planeByteCount = cf_bit_plane_bytes(shape.pixelCount)
            for channel in 0..<shape.channels {
                table.pointee.join_bits(
                    bytes + channel * planeByteCount, shape.pixelCount, joined + channel * shape.pixelCount)
            }
            unpredict(shape, joined, output)
        case .predictedBits:
            // Bits → byte planes (in `bands`, which 16-bit predictors don't use) → elements → predictor.
            let split = bands.uint8s(shape.byteCount)
            let planeByteCount = cf_bit_plane_bytes(shape.elementCount)
            for plane in 0..<shape.element.byteCount {
                table.pointee.join_bits(
                    bytes + plane * planeByteCount, shape.elementCount, split + plane * shape.elementCount)
            }
            let joined = residuals.pointer(shape.byteCount)
            cf_join_bytes(
                split, shape.elementCount, shape.element.byteCount, joined.assumingMemoryBound(to: UInt8.self))
            unpredict(shape, joined, output)
        case .codedResiduals:
            let found = residuals.uint8s(shape.byteCount)
            guard
                cf_uncode8(
                    level, bytes, payload.count, shape.pixelCount, shape.width, shape.channels, found,
                    planes.pointer(cf_coded_scratch_bytes())) != 0
            else { return false }
            unpredict(shape, found, output)
        }
        return true
    }

    private func predict(_ shape: FieldShape, _ input: UnsafeRawPointer) -> UnsafeMutablePointer<UInt8> {
        let output = residuals.pointer(shape.byteCount)
        predict(shape, input, output)
        return output.assumingMemoryBound(to: UInt8.self)
    }

    private func predict(_ shape: FieldShape, _ input: UnsafeRawPointer, _ output: UnsafeMutableRawPointer) {
        let (h, w, c) = (shape.height, shape.width, shape.channels)
        switch shape.element {
        case .uint8:
            table.pointee.predict8(
                input.assumingMemoryBound(to: UInt8.self), h, w, c, output.assumingMemoryBound(to: UInt8.self))
        case .uint16:
            cf_predict16(
                input.assumingMemoryBound(to: UInt16.self), h, w, c, output.assumingMemoryBound(to: UInt16.self))
        case .float32:
            cf_predict32(
                input.assumingMemoryBound(to: UInt32.self), h, w, c, output.assumingMemoryBound(to: UInt32.self))
        }
    }

    private func unpredict(_ shape: FieldShape, _ input: UnsafeRawPointer, _ output: UnsafeMutableRawPointer) {
        let (h, w, c) = (shape.height, shape.width, shape.channels)
        switch shape.element {
        case .uint8:
            let scratch = bands.uint8s(cf_scratch_bytes(w, c))
            table.pointee.unpredict8(
                input.assumingMemoryBound(to: UInt8.self), h, w, c, output.assumingMemoryBound(to: UInt8.self), scratch)
        case .uint16:
            cf_unpredict16(
                input.assumingMemoryBound(to: UInt16.self), h, w, c, output.assumingMemoryBound(to: UInt16.self))
        case .float32:
            cf_unpredict32(
                input.assumingMemoryBound(to: UInt32.self), h, w, c, output.assumingMemoryBound(to: UInt32.self))
        }
    }
}
