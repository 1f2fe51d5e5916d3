import Basics
import Heartbeats
import Shards

/// Turns records into floats of a batch. One per loader, used by all of its threads.
struct SampleDecoder {
    let data: DataSet
    let split: Split
    let height: Int
    let width: Int
    let fields: [StreamedField]
    let augmentation: AugmentationSettings
    let seed: UInt64
    let board: StatusBoard?
    /// Names of records' fields, by field of the batch: plain, and of a sample whose eyes change places.
    private let names: [(plain: [String], swapped: [String])]

    init(
        data: DataSet, split: Split, height: Int, width: Int, fields: [StreamedField],
        augmentation: AugmentationSettings, seed: UInt64, board: StatusBoard?
    ) {
        self.data = data
        self.split = split
        self.height = height
        self.width = width
        self.fields = fields
        self.augmentation = augmentation
        self.seed = seed
        self.board = board
        // Mirrored, each eye sees what the other one saw; with one eye only there is nothing to change.
        let sides = Set(fields.compactMap { FieldName.eye(of: $0.name) })
        names = fields.map { field in
            (field.candidates, sides.count == 2 ? [FieldName.otherEye(field.name)] : field.candidates)
        }
    }

    /// Where a sample's pictures are cut out of the record's.
    private struct Window {
        let top: Int
        let left: Int
        /// Size of the record's pictures.
        let height: Int
        let width: Int
        let isWhole: Bool
        /// How it is enlarged or turned, if it is; what stands above does not count then.
        let resampling: Resampling?
    }

    func decode(_ sample: SampleOrder.Sample, position: Int, into batch: LaneBatch) throws {
        let change = Augmentation(augmentation, seed: seed, epoch: sample.epoch, record: sample.record)
        if let board {
            let place = data.place(split, sample.record)
            board.reading(shard: place.shard, record: place.number)
        }
        defer { board?.loaded() }
        try data.withRecord(split, sample.record) { decoder in
            board?.decoding()
            var window: Window?
            for (number, field) in fields.enumerated() {
                let target = batch.sample(position, field: number)
                let candidates = change.isMirrored ? names[number].swapped : names[number].plain
                guard let index = candidates.lazy.compactMap(decoder.index).first else {
                    if field.isOptional {
                        target.update(repeating: .nan)
                        continue
                    }
                    let found = decoder.fields.map(\.name).joined(separator: ", ")
                    throw error(
                        decoder, sample, "has no field '\(candidates[0])', only \(found)",
                        "this network is trained on records that have it")
                }
                let stored = decoder.fields[index]
                let place = try window ?? self.window(of: stored, change, decoder, sample)
                window = place
                try requireSize(stored, place, decoder, sample)
                switch field.kind {
                case .picture: try picture(index, field.name, decoder, sample, target, place, change)
                case .map: try map(index, field.grid, decoder, sample, target, place, change)
                }
            }
        }
    }

    /// The first field decides; the others must be of its size.
    private func window(
        of stored: FieldDescription, _ change: Augmentation, _ decoder: RecordDecoder, _ sample: SampleOrder.Sample
    ) throws -> Window {
        let (rows, columns) = (stored.height - height, stored.width - width)
        guard rows >= 0, columns >= 0, augmentation.crop != .none || (rows == 0 && columns == 0) else {
            throw error(
                decoder, sample,
                "field '\(stored.name)' is \(stored.height)x\(stored.width), this run works on \(height)x\(width)",
                "convert with --size \(height)x\(width) or set the run's size")
        }
        let (top, left) =
            augmentation.crop == .random
            ? (change.offset(\.cropY, within: rows), change.offset(\.cropX, within: columns)) : (rows / 2, columns / 2)
        return Window(
            top: top, left: left, height: stored.height, width: stored.width, isWhole: rows == 0 && columns == 0,
            resampling: Resampling(
                change, crop: augmentation.crop, height: height, width: width, sourceHeight: stored.height,
                sourceWidth: stored.width))
    }

    private func picture(
        _ index: Int, _ name: String, _ decoder: RecordDecoder, _ sample: SampleOrder.Sample,
        _ target: UnsafeMutableBufferPointer<Float>, _ window: Window, _ change: Augmentation
    ) throws {
        let field = decoder.fields[index]
        guard field.channels == 1 || field.channels == 3, field.element != .float32 else {
            throw error(
                decoder, sample, "field '\(field.name)' is \(field.element.name) with \(field.channels) channels",
                "pictures are uint8 or uint16 with 1 or 3 channels")
        }
        let bytes = try decoder.fieldBytes(index)
        let colour = change.colour(of: name)
        if field.element == .uint8, window.resampling == nil {
            // Colours change row by row, while bytes become floats.
            let layout = PictureColours.Layout(
                height: height, width: width, channels: field.channels, stride: window.width * field.channels)
            let start = (window.top * window.width + window.left) * field.channels
            let rows = UnsafeRawBufferPointer(rebasing: bytes[start...])
            let table = colour.table { PictureColours.meanGray(rows, layout, table: $0) }
            var rest = table?.rest ?? colour.rest
            if rest.noise != 0 { rest.noiseKey = change.noiseKey(of: name) }
            PictureColours.expand(
                rows, layout, isMirrored: change.isMirrored, table: table?.values, change: rest, into: target)
            return
        }
        // Where pictures are interpolated, light comes first.
        let table = field.element == .uint8 && field.channels == 3 ? colour.table() : nil
        if let resampling = window.resampling {
            resampling.picture(
                bytes, field.element, channels: field.channels, table: table?.values, into: target)
        } else {
            let pixel = field.channels * field.element.byteCount
            for y in 0..<height {
                let start = ((window.top + y) * window.width + window.left) * pixel
                let row = UnsafeRawBufferPointer(rebasing: bytes[start..<(start + width * pixel)])
                let line = UnsafeMutableBufferPointer(rebasing: target[(y * width * 3)..<((y + 1) * width * 3)])
                PictureFloats.expand(row, field.element, channels: field.channels, into: line)
                if change.isMirrored { PictureFloats.mirror(line, width: width, channels: 3) }
            }
        }
        if let table {
            ColourChange.apply(table.rest, to: target, noiseKey: change.noiseKey(of: name))
        } else {
            colour.apply(to: target, noiseKey: change.noiseKey(of: name))
        }
    }

    private func map(
        _ index: Int, _ grid: FieldGrid, _ decoder: RecordDecoder, _ sample: SampleOrder.Sample,
        _ target: UnsafeMutableBufferPointer<Float>, _ window: Window, _ change: Augmentation
    ) throws {
        let field = decoder.fields[index]
        guard field.channels == 1 else {
            throw error(decoder, sample, "field '\(field.name)' has \(field.channels) channels", "maps have 1 channel")
        }
        if window.isWhole, window.resampling == nil, grid == .full, field.element == .float32 {
            try decoder.decodeField(index, into: UnsafeMutableRawBufferPointer(target))
            if change.isMirrored { PictureFloats.mirror(target, width: width, channels: 1) }
            return
        }
        let bytes = try decoder.fieldBytes(index)
        let scale: Float
        switch field.element {
        case .float32: scale = 1
        case .uint8: scale = 255
        case .uint16: scale = 65535
        }
        let factor = window.resampling.map { MapUnit.factor(field.name, field.element, scale: $0.scale) } ?? 1
        /// The value at a pixel of the sample, after everything that moves it.
        func value(_ y: Int, _ x: Int) -> Float {
            let column = window.left + (change.isMirrored ? width - 1 - x : x)
            let offset = window.resampling?.nearest(y, x) ?? ((window.top + y) * window.width + column)
            return switch field.element {
            case .float32: bytes.loadUnaligned(fromByteOffset: 4 * offset, as: Float.self) * factor
            case .uint8: Float(bytes[offset]) / scale
            case .uint16: Float(bytes.loadUnaligned(fromByteOffset: 2 * offset, as: UInt16.self)) / scale
            }
        }
        let size = grid.size(height: height, width: width)
        for y in 0..<size.height {
            for x in 0..<size.width {
                switch grid {
                case .full: target[y * size.width + x] = value(y, x)
                case .picked(let step, let first, let margin):
                    target[y * size.width + x] = value(margin + first + y * step, margin + first + x * step)
                case .averaged(let step):
                    var (sum, count) = (0.0, 0)
                    for row in (y * step)..<((y + 1) * step) {
                        for column in (x * step)..<((x + 1) * step) {
                            let part = value(row, column)
                            guard part.isFinite else { continue }
                            sum += Double(part)
                            count += 1
                        }
                    }
                    target[y * size.width + x] = count > 0 ? Float(sum / Double(count)) : .nan
                }
            }
        }
    }

    private func requireSize(
        _ field: FieldDescription, _ window: Window, _ decoder: RecordDecoder, _ sample: SampleOrder.Sample
    ) throws {
        guard field.height == window.height, field.width == window.width else {
            throw error(
                decoder, sample,
                "field '\(field.name)' is \(field.height)x\(field.width), others are \(window.height)x\(window.width)",
                "convert with --size \(height)x\(width)")
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
