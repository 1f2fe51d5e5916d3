import Basics
import FrameSources
import TestSupport
import Testing

/// Parts of the published sets themselves, where they are at hand.
@Suite struct RealDataTests {
    @Test(.enabled(if: RealData.has("kitti2012/training"), Comment(rawValue: RealData.hint)))
    func kitti2012() throws {
        let items = try KITTI(root: RealData.path("kitti2012")).items()
        #expect(items.count == 30 && items[0].key == "000000_10")
        let record = try items[0].load()
        let known = values(record, "disparity").filter { !$0.isNaN }
        // Count and mean distance from 32 pixels as an independent reader found them.
        let error = known.reduce(0.0) { $0 + Double(abs($1 - 32)) } / Double(known.count)
        #expect(known.count == 159_191 && abs(error - 11.1878) < 5e-5)
        let views = try #require(record["left"])
        #expect(views.height == 370 && views.width == 1226)
    }

    @Test(.enabled(if: RealData.has("middlebury/cones"), Comment(rawValue: RealData.hint)))
    func middlebury() throws {
        let cones = try Middlebury(root: RealData.path("middlebury/cones")).items()[0].load()
        let known = values(cones, "disparity").filter { !$0.isNaN }
        let error = known.reduce(0.0) { $0 + Double(abs($1 - 32)) } / Double(known.count)
        #expect(known.count == 163_321 && abs(error - 10.2515) < 5e-5)
        // Half size: divided by 2.
        let cloth = try Middlebury(root: RealData.path("middlebury/Cloth3")).items()[0].load()
        let bytes = try #require(try ImageFile.read(RealData.path("middlebury/Cloth3/disp1.png")).bytes.max())
        #expect(values(cloth, "disparity").filter { !$0.isNaN }.max() == Float(bytes) / 2)
    }

    @Test(.enabled(if: RealData.has("nyu/bookstore_0001d_00001.png"), Comment(rawValue: RealData.hint)))
    func nyu() throws {
        let tree = Tree("real-nyu")
        for (folder, ending) in [("images", "jpg"), ("annotations", "png")] {
            let bytes = try Files.read(RealData.path("nyu/bookstore_0001d_00001.\(ending)"))
            try Files.createFolder(tree.path("\(folder)/train"))
            try AtomicFileWriter.write(bytes, to: tree.path("\(folder)/train/bookstore_0001d_00001.\(ending)"))
        }
        let record = try NYUDepth(root: tree.root).items()[0].load()
        let depth = values(record, "depth")
        #expect(record["image"]?.width == 160 && depth.count == 160 * 120)
        let known = depth.filter { !$0.isNaN }
        let samples = try ImageFile.read(RealData.path("nyu/bookstore_0001d_00001.png")).withUInt16s { Array($0) }
        #expect(known.count == samples.filter { $0 > 0 }.count && known.allSatisfy { (0.3...10).contains($0) })
        #expect(zip(depth, samples).allSatisfy { $1 == 0 ? $0.isNaN : $0 == Float($1) / 1000 })
    }
}
