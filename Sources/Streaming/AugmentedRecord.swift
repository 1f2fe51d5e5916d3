import Basics
import Shards
import Tensors

/// A record as a training run sees it, for looking at.
public enum AugmentedRecord {
    /// Record `index` of a split after augmentation: pictures as uint8, maps in the type in which they are stored, the
    /// rig's geometry scaled along.
    /// - Parameters:
    ///   - epoch: which of the draws.
    ///   - size: what is cut out; nil is the whole record.
    /// - Throws: `Failure` (usage) if the options don't fit the record; what reading throws.
    public static func make(
        _ data: DataSet, _ split: Split, _ index: Int, _ options: AugmentationOptions, seed: UInt64, epoch: Int,
        size: (height: Int, width: Int)? = nil
    ) throws -> Record {
        let record = try data.record(split, index)
        let visible = record.fields.filter { $0.name != FieldName.calibration }
        guard let first = visible.first?.array else { return record }
        let fields = visible.compactMap { field -> StreamedField? in
            let array = field.array
            if array.channels == 1 { return StreamedField(field.name, kind: isView(field.name) ? .picture : .map) }
            return array.channels == 3 && array.element != .float32 ? .picture(field.name) : nil
        }
        try options.check(fields: fields)
        let settings = try options.settings(crop: .random)
        let (height, width) = size ?? (first.height, first.width)
        let decoder = SampleDecoder(
            data: data, split: split, height: height, width: width, fields: fields, augmentation: settings, seed: seed,
            board: nil)
        let batch = LaneBatch(capacity: 1, height: height, width: width, fields: fields, owner: ObjectIdentifier(data))
        let sample = SampleOrder.Sample(globalIndex: 0, epoch: epoch, record: index)
        batch.samples = [sample]
        try decoder.decode(sample, position: 0, into: batch)
        var result = fields.compactMap { field -> Record.Field? in
            guard let view = batch[field.name], let stored = record[field.name] else { return nil }
            let values = UnsafeBufferPointer(view.buffer)
            return Record.Field(
                field.name,
                array(values, height, width, field.kind == .picture ? .uint8 : stored.element, field.channels))
        }
        withExtendedLifetime(batch) {}
        if let rig = record[FieldName.calibration] {
            let change = Augmentation(settings, seed: seed, epoch: epoch, record: index)
            let scale =
                Resampling(
                    change, crop: settings.crop, height: height, width: width, sourceHeight: first.height,
                    sourceWidth: first.width)?.scale ?? 1
            result.append(Record.Field(FieldName.calibration, MapUnit.calibration(rig, scale: scale)))
        }
        return Record(key: record.key, fields: result)
    }

    private static func isView(_ name: String) -> Bool {
        [FieldName.left, FieldName.right, FieldName.image, FieldName.background].contains(name)
    }

    private static func array(
        _ values: UnsafeBufferPointer<Float>, _ height: Int, _ width: Int, _ element: ElementType, _ channels: Int
    ) -> PixelArray {
        switch element {
        case .float32:
            return PixelArray(height: height, width: width, channels: channels, floats: Array(values))
        case .uint8:
            return PixelArray(
                height: height, width: width, channels: channels, element: .uint8,
                bytes: values.map { UInt8(min(255, max(0, ($0 * 255).rounded()))) })
        case .uint16:
            var array = PixelArray(zerosOf: height, width, channels, .uint16)
            array.withMutableUInt16s { target in
                for (index, value) in values.enumerated() {
                    target[index] = UInt16(min(65535, max(0, (value * 65535).rounded())))
                }
            }
            return array
        }
    }
}
