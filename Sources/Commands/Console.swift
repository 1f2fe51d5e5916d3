import Glibc

/// Messages for people: standard error. Results go to standard output.
enum Console {
    static func note(_ text: String) { write(text + "\n") }
    static func warn(_ text: String) { write("warning: \(text)\n") }

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
