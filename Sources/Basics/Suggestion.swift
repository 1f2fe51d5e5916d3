/// `, did you mean 'x'?` for the candidate of these initials (sbs: side-by-side) or else the closest one within a third of
/// the word's length; nothing if there is none.
public func suggestion(for word: String, among candidates: [String]) -> String {
    if word.count > 1, let meant = candidates.first(where: { initials($0) == word.lowercased() }) {
        return ", did you mean '\(meant)'?"
    }
    let best = candidates.map { ($0, editDistance(word.lowercased(), $0.lowercased())) }.min { $0.1 < $1.1 }
    guard let best, best.1 <= max(1, max(word.count, best.0.count) / 3) else { return "" }
    return ", did you mean '\(best.0)'?"
}

private func initials(_ name: String) -> String { String(name.split(separator: "-").compactMap(\.first)) }

/// Insertions, deletions, replacements and exchanges of neighbours that lead from one word to the other.
func editDistance(_ a: String, _ b: String) -> Int {
    let (a, b) = (Array(a), Array(b))
    // Three rows of the table: an exchange looks two rows back.
    var beforeLast = [Int](repeating: 0, count: b.count + 1)
    var last = Array(0...b.count)
    for i in a.indices {
        var row = [i + 1]
        for j in b.indices {
            var best = min(last[j] + (a[i] == b[j] ? 0 : 1), last[j + 1] + 1, row[j] + 1)
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, beforeLast[j - 1] + 1) }
            row.append(best)
        }
        beforeLast = last
        last = row
    }
    return last[b.count]
}
