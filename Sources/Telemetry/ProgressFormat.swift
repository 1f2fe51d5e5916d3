/// What a progress line says, at one moment.
public struct ProgressSnapshot: Sendable, Equatable {
    /// Name of the work, e.g. `train`.
    public var task: String
    /// What is counted, e.g. `step`.
    public var unit: String
    /// What the rate counts, e.g. `pairs`.
    public var items: String
    /// Position reached, including what an earlier process did.
    public var position: Int
    /// Position at the end; nil if unknown.
    public var total: Int?
    public var loss: Double?
    /// NaN while unknown.
    public var itemsPerSecond: Double
    /// Share of the time (0…1) in which the work waited for data; nil if not measured.
    public var dataWait: Double?
    /// Share of the time (0…1) spent waiting for other ranks; nil if not measured.
    public var communication: Double?
    /// Seconds until the end; nil while unknown.
    public var remainingSeconds: Double?
    /// Anything else, e.g. `epoch 3`.
    public var detail: String?

    public init(
        task: String, unit: String = "step", items: String = "pairs", position: Int, total: Int? = nil,
        loss: Double? = nil, itemsPerSecond: Double = .nan, dataWait: Double? = nil, communication: Double? = nil,
        remainingSeconds: Double? = nil, detail: String? = nil
    ) {
        self.task = task
        self.unit = unit
        self.items = items
        self.position = position
        self.total = total
        self.loss = loss
        self.itemsPerSecond = itemsPerSecond
        self.dataWait = dataWait
        self.communication = communication
        self.remainingSeconds = remainingSeconds
        self.detail = detail
    }
}

/// Pure functions from numbers to what people read. All of them are independent of the locale.
public enum ProgressFormat {
    /// One plain line without line break, carriage return or escape sequence.
    public static func plainLine(_ snapshot: ProgressSnapshot) -> String {
        var head = "\(snapshot.task): \(snapshot.unit) \(snapshot.position)"
        if let total = snapshot.total {
            head += "/\(total)"
            if total > 0 { head += " (\(percent(fraction(snapshot.position, of: total))))" }
        }
        return ([head] + facts(snapshot, short: false)).joined(separator: ", ")
    }

    /// The text of a bar line, exactly `columns` characters (at least 20): shorter text is padded, so that it covers
    /// the line before it, and what does not fit is cut, so that it never wraps.
    public static func barLine(_ snapshot: ProgressSnapshot, columns: Int) -> String {
        let columns = max(columns, 20)
        var head = "\(snapshot.task) "
        var count = "\(snapshot.position)"
        if let total = snapshot.total { count += "/\(total)" }
        let tail = ([count] + facts(snapshot, short: true)).joined(separator: "  ")
        if let total = snapshot.total, total > 0 {
            // The bar takes what is left of the line; below 8 characters it says nothing.
            let room = min(columns - head.count - tail.count - 1, 40)
            if room >= 8 { head += bar(fraction(snapshot.position, of: total), width: room) + " " }
        }
        let line = head + tail
        if line.count > columns { return String(line.prefix(columns - 1)) + ">" }
        return line + String(repeating: " ", count: columns - line.count)
    }

    /// `[=====>    ]` of that many characters, brackets included.
    public static func bar(_ fraction: Double, width: Int) -> String {
        let inside = max(width - 2, 1)
        let clamped = fraction.isNaN ? 0 : min(max(fraction, 0), 1)
        let filled = Int(clamped * Double(inside))
        let tip = filled < inside ? ">" : ""
        return "[" + String(repeating: "=", count: filled) + tip
            + String(repeating: " ", count: inside - filled - tip.count) + "]"
    }

    /// `45 s`, `3 min 05 s`, `1 h 02 min`, `2 d 03 h`; `?` if not finite or negative.
    public static func duration(_ seconds: Double) -> String {
        // The bound keeps the conversion to Int from trapping.
        guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "?" }
        let whole = Int(seconds.rounded())
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        switch whole {
        case ..<60: return "\(whole) s"
        case ..<3600: return "\(whole / 60) min \(two(whole % 60)) s"
        case ..<86400: return "\(whole / 3600) h \(two(whole % 3600 / 60)) min"
        default: return "\(whole / 86400) d \(two(whole % 86400 / 3600)) h"
        }
    }

    /// A share 0…1 with one digit: `12.5 %`.
    public static func percent(_ share: Double) -> String { decimal(100 * share, digits: 1) + " %" }

    /// Three significant digits or, from 1000 on, whole numbers: `0.0312`, `4.51`, `45.1`, `1234`.
    public static func rate(_ value: Double) -> String { significant(value, digits: 3) }

    /// Five significant digits, for losses: `0.034125`, `1.2346`. Small and huge values are written with an exponent.
    public static func loss(_ value: Double) -> String { significant(value, digits: 5) }

    /// A number with that many digits after the point, ties away from zero; `nan`, `inf`, `-inf`.
    public static func decimal(_ value: Double, digits: Int) -> String {
        guard value.isFinite else { return NumberFormat.text(value) }
        precondition((0...9).contains(digits), "decimal: \(digits) digits")
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = (value.magnitude * scale).rounded()
        guard scaled < 9e15 else { return NumberFormat.text(value) }
        let (whole, part) = Int(scaled).quotientAndRemainder(dividingBy: Int(scale))
        let sign = value < 0 && scaled > 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(whole)" }
        let text = "\(part)"
        return "\(sign)\(whole)." + String(repeating: "0", count: digits - text.count) + text
    }

    private static func significant(_ value: Double, digits: Int) -> String {
        let magnitude = value.magnitude
        guard value.isFinite, magnitude > 0 else { return value == 0 ? "0" : NumberFormat.text(value) }
        if magnitude < 1e-4 || magnitude >= 1e9 {
            var exponent = 0
            var mantissa = magnitude
            while mantissa >= 10 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
            while mantissa < 1 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
            return (value < 0 ? "-" : "") + decimal(mantissa, digits: 2) + "e\(exponent)"
        }
        var before = 1
        var bound = 10.0
        while magnitude >= bound { (bound, before) = (bound * 10, before + 1) }
        var small = magnitude
        while small < 1 { (small, before) = (small * 10, before - 1) }
        if magnitude >= 1 { return decimal(value, digits: max(digits - before, 0)) }
        return decimal(value, digits: min(digits - before, 9))
    }

    /// What both kinds of line say after the position.
    private static func facts(_ snapshot: ProgressSnapshot, short: Bool) -> [String] {
        var facts: [String] = []
        if let detail = snapshot.detail { facts.append(Log.singleLine(detail)) }
        if let value = snapshot.loss { facts.append("loss \(loss(value))") }
        if !snapshot.itemsPerSecond.isNaN { facts.append("\(rate(snapshot.itemsPerSecond)) \(snapshot.items)/s") }
        if let seconds = snapshot.remainingSeconds { facts.append("ETA \(duration(seconds))") }
        if let share = snapshot.dataWait { facts.append("\(short ? "wait" : "data wait") \(percent(share))") }
        if let share = snapshot.communication { facts.append("\(short ? "comm" : "communication") \(percent(share))") }
        return facts
    }

    private static func fraction(_ position: Int, of total: Int) -> Double { Double(position) / Double(total) }
}
