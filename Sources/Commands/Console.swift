import Glibc

/// Messages for people: standard error. Results go to standard output.
enum Console {
    static func note(_ text: String) { write(text + "\n") }
    static func warn(_ text: String) { write("warning: \(text)\n") }

    /// Control characters, which names of files may hold, cannot break the line or the terminal.
    static func oneLine(_ text: String) -> String {
        var clean = ""
        for scalar in text.unicodeScalars {
            clean.unicodeScalars.append(scalar.properties.generalCategory == .control ? " " : scalar)
        }
        return clean
    }

    static func write(_ text: String) {
        // One write per message: lines of several ranks do not mix.
        var text = text
        text.withUTF8 { bytes in
            var offset = 0
            while offset < bytes.count {
                let written = Glibc.write(2, bytes.baseAddress! + offset, bytes.count - offset)
                if written <= 0 { return }
                offset += written
            }
        }
    }
}
