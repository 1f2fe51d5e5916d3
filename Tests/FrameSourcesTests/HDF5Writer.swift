import Basics
import Glibc

/// Writes MATLAB 7.3 files as MATLAB does: an HDF5 file behind 512 bytes of text, arrays in compressed chunks. Through the
/// installed libhdf5, as the reader.
struct HDF5Writer {
    struct Array {
        let name: String
        let sides: [UInt64]
        let type: String
        let bytes: [UInt8]
    }

    private let hdf5: UnsafeMutableRawPointer

    /// nil if libhdf5 is not installed.
    init?() {
        let names = ["libhdf5_serial.so.103", "libhdf5_serial.so.310", "libhdf5.so.103", "libhdf5.so.310"]
        guard let hdf5 = names.lazy.compactMap({ dlopen($0, RTLD_NOW) }).first else { return nil }
        self.hdf5 = hdf5
        let open = function("H5open", as: (@convention(c) () -> Int32).self)
        _ = open()
    }

    static let isThere = HDF5Writer() != nil

    func write(_ arrays: [Array], to path: String) throws {
        let create = function("H5Pcreate", as: (@convention(c) (Int64) -> Int64).self)
        let setBlock = function("H5Pset_userblock", as: (@convention(c) (Int64, UInt64) -> Int32).self)
        let setChunk = function(
            "H5Pset_chunk", as: (@convention(c) (Int64, Int32, UnsafePointer<UInt64>) -> Int32).self)
        let setDeflate = function("H5Pset_deflate", as: (@convention(c) (Int64, UInt32) -> Int32).self)
        let makeFile = function(
            "H5Fcreate", as: (@convention(c) (UnsafePointer<CChar>, UInt32, Int64, Int64) -> Int64).self)
        let makeSpace = function(
            "H5Screate_simple",
            as: (@convention(c) (Int32, UnsafePointer<UInt64>, UnsafePointer<UInt64>?) -> Int64).self)
        let makeSet = function(
            "H5Dcreate2",
            as: (@convention(c) (Int64, UnsafePointer<CChar>, Int64, Int64, Int64, Int64, Int64) -> Int64).self)
        let writeSet = function(
            "H5Dwrite",
            as: (@convention(c) (Int64, Int64, Int64, Int64, Int64, UnsafeRawPointer) -> Int32).self)
        let closeSet = function("H5Dclose", as: (@convention(c) (Int64) -> Int32).self)
        let closeFile = function("H5Fclose", as: (@convention(c) (Int64) -> Int32).self)

        let fileOptions = create(constant("H5P_CLS_FILE_CREATE_ID_g"))
        _ = setBlock(fileOptions, 512)
        let file = makeFile(path, 2, fileOptions, 0)
        for array in arrays {
            let options = create(constant("H5P_CLS_DATASET_CREATE_ID_g"))
            let chunk = [1] + array.sides.dropFirst()
            _ = setChunk(options, Int32(chunk.count), chunk)
            _ = setDeflate(options, 3)
            let space = makeSpace(Int32(array.sides.count), array.sides, nil)
            let type = constant(array.type)
            let set = makeSet(file, array.name, type, space, 0, options, 0)
            guard set >= 0, writeSet(set, type, 0, 0, 0, array.bytes) >= 0 else { throw Failure(.inputOutput, path) }
            _ = closeSet(set)
        }
        guard file >= 0, closeFile(file) >= 0 else { throw Failure(.inputOutput, path) }
        // The text that MATLAB puts into the first block.
        guard let handle = fopen(path, "r+") else { throw Failure(.inputOutput, path) }
        fputs("MATLAB 7.3 MAT-file, Platform: GLNXA64", handle)
        fclose(handle)
    }

    private func function<Function>(_ name: String, as type: Function.Type) -> Function {
        unsafeBitCast(dlsym(hdf5, name)!, to: type)
    }

    private func constant(_ name: String) -> Int64 {
        dlsym(hdf5, name)!.assumingMemoryBound(to: Int64.self).pointee
    }
}
