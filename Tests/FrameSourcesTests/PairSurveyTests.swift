import Basics
import Foundation
import TestSupport
import Testing

@testable import FrameSources

/// Pairs that are not what they should be are noticed before anything is learned from them.
@Suite struct PairSurveyTests {
    /// Broad patches with grain; what is low is nearer. Disparities grow downwards by 8 from `farthest`.
    private func scene(_ seed: UInt64, farthest: Int) -> (left: PixelArray, right: PixelArray) {
        let random = CounterRandom(seed, "pair survey")
        let (height, width) = (96, 168)
        var views = [PixelArray(zerosOf: height, width, 3, .uint8), PixelArray(zerosOf: height, width, 3, .uint8)]
        func value(_ y: Int, _ x: Int) -> UInt8 {
            let patch = random.bits(UInt64((y / 24) * 100 + (x + 40) / 16)) % 160
            return UInt8(patch + random.bits(UInt64(100_000 + (y / 3) * 1000 + x + 40)) % 96)
        }
        for y in 0..<height {
            for x in 0..<width {
                // left(x) = right(x − d)
                for (eye, shift) in [(0, 0), (1, farthest + y * 9 / height)] {
                    for channel in 0..<3 { views[eye].bytes[(y * width + x) * 3 + channel] = value(y, x + shift) }
                }
            }
        }
        return (views[0], views[1])
    }

    private func warnings(_ pairs: [(left: PixelArray, right: PixelArray)]) -> [String] {
        var survey = PairSurvey()
        for pair in pairs { survey.add(left: pair.left, right: pair.right) }
        return survey.warnings
    }

    @Test func exchangedEyes() {
        // As in films, behind the screen and in front of it; and as parallel cameras see.
        for farthest in [-4, 0] {
            let pairs = (0..<12).map { scene(UInt64($0), farthest: farthest) }
            #expect(warnings(pairs).isEmpty, "\(warnings(pairs))")
            let swapped = warnings(pairs.map { ($0.right, $0.left) })
            #expect(swapped.count == 1 && swapped[0].contains("exchanged"), "\(swapped)")
            #expect(swapped.allSatisfy { $0.contains("--swap-eyes") && !$0.contains("\n") })
        }
        // One pair of parallel cameras is enough, one of a film is not.
        let one = scene(1, farthest: 1)
        #expect(warnings([one]).isEmpty)
        #expect(warnings([(one.right, one.left)]).first?.contains("all disparities are negative") == true)
        let film = scene(1, farthest: -4)
        #expect(warnings([(film.right, film.left)]).isEmpty)
    }

    @Test func packedPicturesGivenAsPlainOnes() {
        func items(_ pictures: [PixelArray]) -> [FrameItem] {
            pictures.enumerated().map { number, picture in
                FrameItem(key: "\(number)") { Record(key: "\(number)", fields: [Record.Field(FieldName.left, picture)]) }
            }
        }
        let scenes = (0..<6).map { scene($0, farthest: -4) }
        let packed = scenes.map { StereoPictures.sideBySide(left: $0.left, right: $0.right) }
        let warning = PairSurvey.packingWarning(items(packed))
        #expect(warning?.contains("6 of 6 pictures look like two views") == true, "\(warning ?? "none")")
        #expect(PairSurvey.packingWarning(items(scenes.map(\.left))) == nil)
        // As wide as two views, but of different things.
        let wide = (0..<6).map { number in
            StereoPictures.sideBySide(left: scene(number, farthest: 0).left, right: scene(number + 50, farthest: 0).right)
        }
        #expect(PairSurvey.packingWarning(items(wide)) == nil)
        #expect(PairSurvey.packingWarning([]) == nil)
    }

    @Test func unlikeViews() {
        let pairs = (0..<6).map { (scene($0, farthest: 0).left, scene($0 + 50, farthest: 0).right) }
        let found = warnings(pairs)
        #expect(found.count == 1 && found[0].contains("do not look alike in 6 of 6 pairs"), "\(found)")
        #expect(found[0].contains("--layout"))
        let same = warnings((0..<6).map { (scene($0, farthest: 0).left, scene($0, farthest: 0).left) })
        #expect(same.count == 1 && same[0].contains("no depth"), "\(same)")
        let plain = PixelArray(zerosOf: 64, 96, 3, .uint8)
        #expect(warnings([(plain, plain)]).isEmpty)
    }

    @Test(.enabled(if: RealData.has("movie_frames"), Comment(rawValue: RealData.hint)))
    func filmFrames() throws {
        func survey(_ packing: PackedFrames.Packing, isSwapped: Bool) throws -> [String] {
            let root = RealData.path("movie_frames")
            return PairSurvey(try PackedFrames(root: root, packing: packing, isSwapped: isSwapped).items()).warnings
        }
        #expect(try survey(.sideBySide, isSwapped: false).isEmpty)
        let swapped = try survey(.sideBySide, isSwapped: true)
        #expect(swapped.count == 1 && swapped[0].contains("exchanged"), "\(swapped)")
        let cut = try survey(.topBottom, isSwapped: false)
        #expect(cut.count == 1 && cut[0].contains("do not look alike"), "\(cut)")
    }

    @Test(.enabled(if: RealData.has("kitti2012/training"), Comment(rawValue: RealData.hint)))
    func publishedPairs() throws {
        let kitti = try KITTI(root: RealData.path("kitti2012")).items()
        #expect(PairSurvey(kitti).warnings.isEmpty)
        var told = 0
        for item in kitti {
            let record = try item.load()
            let (left, right) = (try #require(record["left"]), try #require(record["right"]))
            #expect(warnings([(left, right)]).isEmpty, "\(item.key)")
            if warnings([(right, left)]).first?.contains("exchanged") == true { told += 1 }
        }
        // Of single pairs most; of all together always.
        #expect(told >= 20, "\(told) of 30")
        for scene in ["cones", "Cloth3"] where RealData.has("middlebury/" + scene) {
            let items = try Middlebury(root: RealData.path("middlebury/" + scene)).items()
            #expect(PairSurvey(items).warnings.isEmpty, "\(PairSurvey(items).warnings)")
        }
    }
}
