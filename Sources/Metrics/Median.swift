/// The median of finite numbers (the mean of the two middle ones if their number is even, as NumPy does); NaN for none.
/// Expected time is linear.
func median(_ numbers: [Float]) -> Double {
    guard !numbers.isEmpty else { return .nan }
    var numbers = numbers
    return numbers.withUnsafeMutableBufferPointer { buffer in
        let middle = buffer.count / 2
        select(buffer, middle)
        let upper = Double(buffer[middle])
        if buffer.count % 2 == 1 { return upper }
        var lower = buffer[0]
        for index in 0..<middle where buffer[index] > lower { lower = buffer[index] }
        return (Double(lower) + upper) / 2
    }
}

/// Moves the element of that rank in sorted order to its place, smaller ones before it. No element may be NaN.
private func select(_ numbers: UnsafeMutableBufferPointer<Float>, _ rank: Int) {
    var low = 0
    var high = numbers.count - 1
    while low < high {
        // The median of three keeps sorted and constant maps fast.
        let (a, b, c) = (numbers[low], numbers[low + (high - low) / 2], numbers[high])
        let pivot = max(min(a, b), min(max(a, b), c))
        var left = low
        var right = high
        while left <= right {
            while numbers[left] < pivot { left += 1 }
            while numbers[right] > pivot { right -= 1 }
            if left <= right {
                numbers.swapAt(left, right)
                left += 1
                right -= 1
            }
        }
        if rank <= right {
            high = right
        } else if rank >= left {
            low = left
        } else {
            return
        }
    }
}
