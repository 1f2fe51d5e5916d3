// Compiled together with the readers (see `run` in this folder), not by SwiftPM.

import Basics
import Foundation
import Training
import Yams

@testable import Checkpoints
@testable import FrameSources

private let target = ProcessInfo.processInfo.environment["FUZZ_TARGET"] ?? ""

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzReader(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    switch target {
    case "shard": ShardFuzz.shard(bytes)
    case "index": ShardFuzz.index(bytes)
    case "record": ShardFuzz.record(bytes)
    case "coded": ShardFuzz.coded(bytes)
    case "manifest": ShardFuzz.manifest(bytes)
    case "salvage": ShardFuzz.salvage(bytes)
    case "png": picture { () throws(CodecError) in try PNG.decode(bytes) }
    case "jpeg": picture { () throws(CodecError) in try JPEG.decode(bytes) }
    case "pfm": picture { () throws(CodecError) in try PFM.decode(bytes) }
    case "npy": picture { () throws(CodecError) in try NPY.decode(bytes) }
    case "safetensors": safetensors(bytes)
    case "torch": _ = try? TorchFile(bytes: bytes, path: "x.pth")
    case "yaml":
        var configuration = RunConfiguration()
        try? ConfigurationFile.apply(text: String(decoding: bytes, as: UTF8.self), path: "f", to: &configuration)
    default: fatalError("FUZZ_TARGET '\(target)' is none of the targets")
    }
    return 0
}

private func picture(_ decode: () throws(CodecError) -> PixelArray) {
    do {
        let array = try decode()
        precondition(array.height > 0 && array.width > 0 && array.channels > 0)
        precondition(array.bytes.count == array.count * array.element.byteCount)
    } catch {
        precondition(!error.problem.isEmpty && !error.problem.contains("\n"))
    }
}

private func safetensors(_ bytes: [UInt8]) {
    let path = FuzzFile.path(holding: bytes)
    guard let file = try? SafeTensorsFile(path: path) else { return }
    try? file.verify()
    for name in file.names { _ = try? file.floats(of: name) }
}

/// One file in memory that takes every input in turn.
enum FuzzFile {
    private static let descriptor: Int32 = {
        let path = "/dev/shm/vergence-fuzz-\(getpid())"
        let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        precondition(descriptor >= 0, "cannot create \(path)")
        unlink(path)
        return descriptor
    }()

    static func path(holding bytes: [UInt8]) -> String {
        ftruncate(descriptor, 0)
        let written = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        precondition(written == bytes.count)
        return "/proc/self/fd/\(descriptor)"
    }
}
