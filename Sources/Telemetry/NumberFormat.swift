/// Numbers as text for files that programs read.
public enum NumberFormat {
    /// The shortest text that reads back as the same number, whatever the locale: `0.1`, `12`, `1e-05`, `nan`, `inf`.
    public static func text(_ value: Double) -> String { trimmed(value.description) }

    /// The shortest text that reads back as the same `Float`: 0.1, not 0.10000000149011612.
    public static func text(_ value: Float) -> String { trimmed(value.description) }

    private static func trimmed(_ text: String) -> String {
        // "-nan" and payloads say nothing that a reader of a table could use.
        if text.contains("nan") { return "nan" }
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
}
