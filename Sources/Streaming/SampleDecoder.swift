import Basics
import Heartbeats
import Shards

/// Turns records into floats of a batch. One per loader thread.
struct SampleDecoder {
    let data: DataSet
    let split: Split
    let height: Int
    let width: Int
    let augmentation: AugmentationSettings
    let seed: UInt64
    let board: StatusBoard?

    func decode(_ sample: SampleOrder.Sample, position: Int, into batch: LaneBatch) throws {
        let change = Augmentation(augmentation, seed: seed, epoch: sample.epoch, record: sample.record)
        // Mirrored, each eye sees what the other one saw.
        let (left, right) = change.isMirrored ? (FieldName.right, FieldName.left) : (FieldName.left, FieldName.right)
        if let board {
            let place = data.place(split, sample.record)
            board.reading(shard: place.shard, record: place.number)
        }
        defer { board?.loaded() }
        try data.withRecord(split, sample.record) { decoder in
            board?.decoding()
            try picture(left, decoder, sample, batch.left(position), change)
            try picture(right, decoder, sample, batch.right(position), change)
            if let target = batch.disparity(position) {
                let name = change.isMirrored ? FieldName.disparityRight : FieldName.disparity
                try disparity(name, decoder, sample, target, change)
            }
        }
    }

    private func picture(
        _ name: String, _ decoder: RecordDecoder, _ sample: SampleOrder.Sample,
        _ target: UnsafeMutableBufferPointer<Float>, _ change: Augmentation
    ) throws {
        guard let index = decoder.index(ofField: name) else {
            let names = decoder.fields.map(\.name).joined(separator: ", ")
            throw error(
                decoder, sample, "has no field '\(name)', only \(names)", "training needs left and right pictures")
        }
        let field = decoder.fields[index]
        try requireSize(field, decoder, sample)
        guard field.channels == 1 || field.channels == 3, field.element != .float32 else {
            throw error(
                decoder, sample, "field '\(name)' is \(field.element.name) with \(field.channels) channels",
                "pictures are uint8 or uint16 with 1 or 3 channels")
        }
        let bytes = try decoder.fieldBytes(index)
        if change.isMirrored {
            PictureFloats.expandMirrored(
                bytes, field.element, width: width, channels: field.channels, into: target)
        } else {
            PictureFloats.expand(bytes, field.element, channels: field.channels, into: target)
        }
        if change.changesLight {
            if field.element == .uint8 {
                // 256 powers instead of one for every value.
                let table = (0...255).map { change.light(Double($0) / 255) }
                for index in target.indices { target[index] = table[Int((target[index] * 255).rounded())] }
            } else {
                for index in target.indices { target[index] = change.light(Double(target[index])) }
            }
        }
    }

    private func disparity(
        _ name: String, _ decoder: RecordDecoder, _ sample: SampleOrder.Sample,
        _ target: UnsafeMutableBufferPointer<Float>, _ change: Augmentation
    ) throws {
        guard let index = decoder.index(ofField: name) else {
            target.update(repeating: .nan)
            return
        }
        let field = decoder.fields[index]
        try requireSize(field, decoder, sample)
        guard field.channels == 1, field.element == .float32 else {
            throw error(
                decoder, sample, "field '\(name)' is \(field.element.name) with \(field.channels) channels",
                "disparities are float32 with 1 channel")
        }
        try decoder.decodeField(index, into: UnsafeMutableRawBufferPointer(target))
        if change.isMirrored { PictureFloats.mirror(target, width: width, channels: 1) }
    }

    private func requireSize(
        _ field: FieldDescription, _ decoder: RecordDecoder, _ sample: SampleOrder.Sample
    ) throws {
        guard field.height == height, field.width == width else {
            throw error(
                decoder, sample,
                "field '\(field.name)' is \(field.height)x\(field.width), this run works on \(height)x\(width)",
                "convert with --size \(height)x\(width) or set the run's size")
        }
    }

    private func error(
        _ decoder: RecordDecoder, _ sample: SampleOrder.Sample, _ problem: String, _ remedy: String
    ) -> ShardError {
        ShardError(
            path: data.path, record: sample.record, key: decoder.key, "of split \(split.rawValue) \(problem)",
            remedy: remedy)
    }
}
