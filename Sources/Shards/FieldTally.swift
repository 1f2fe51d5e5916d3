import Basics

/// The manifest's summary of fields, gathered record by record.
struct FieldTally {
    private var fields: [String: Manifest.FieldSummary] = [:]

    /// Sorted by name.
    var summaries: [Manifest.FieldSummary] { fields.values.sorted { $0.name < $1.name } }

    mutating func add(_ field: FieldDescription) {
        add(
            Manifest.FieldSummary(
                name: field.name, elements: [field.element], channels: [field.channels], recordCount: 1,
                heights: field.height...field.height, widths: field.width...field.width, byteCount: field.byteCount,
                storedByteCount: field.storedByteCount))
    }

    mutating func add(_ more: Manifest.FieldSummary) {
        guard var summary = fields[more.name] else {
            fields[more.name] = more
            return
        }
        for element in more.elements where !summary.elements.contains(element) {
            summary.elements = (summary.elements + [element]).sorted { $0.rawValue < $1.rawValue }
        }
        for channels in more.channels where !summary.channels.contains(channels) {
            summary.channels = (summary.channels + [channels]).sorted()
        }
        summary.recordCount += more.recordCount
        summary.heights = Self.union(summary.heights, more.heights)
        summary.widths = Self.union(summary.widths, more.widths)
        summary.byteCount += more.byteCount
        summary.storedByteCount += more.storedByteCount
        fields[more.name] = summary
    }

    private static func union(_ a: ClosedRange<Int>, _ b: ClosedRange<Int>) -> ClosedRange<Int> {
        min(a.lowerBound, b.lowerBound)...max(a.upperBound, b.upperBound)
    }
}
