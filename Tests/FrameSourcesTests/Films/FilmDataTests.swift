import Basics
import Foundation
import TestSupport
import Testing

@testable import FrameSources

/// Real clips and cards. They hold 42 frames each, or one.
@Suite(
    .serialized, .enabled(if: FilmTools.areThere, FilmTools.areMissing),
    .enabled(if: FilmTools.realData != nil, FilmTools.realDataIsMissing))
struct FilmDataTests {
    let data = FilmTools.realData ?? ""

    @Test(arguments: ["full_sbs.mkv", "full_tab.mkv", "half_sbs.mp4"]) func clips(_ name: String) throws {
        let loaded = try load(data + "/movies/" + name)
        #expect(loaded.records.count == 42)
        #expect(loaded.notes.first?.contains("from its label") == true)
        #expect(!loaded.notes.contains { $0.contains("exchanged") })
        let frames = try Files.list(data + "/movie_frames").filter { $0.hasSuffix(".png") }
        #expect(frames.count == 42)
        // The clips hold these pictures in some order; each frame is near one of them, and all are there.
        let pictures = try frames.map { try ImageFile.read(data + "/movie_frames/" + $0) }
        let halves = pictures.map {
            ViewShape(.sideBySide, height: 192, width: 672, pixelAspect: 1, isHalf: false).views(of: $0)
        }
        var found: Set<Int> = []
        for record in loaded.records {
            for (field, isLeft) in [(FieldName.left, true), (FieldName.right, false)] {
                let view = try #require(record[field])
                #expect(view.height == 192 && view.width == 336)
                let grid = PictureGrid(view, height: 48, width: 84)
                let distances = halves.map {
                    grid.difference(from: PictureGrid(isLeft ? $0.0 : $0.1, height: 48, width: 84), threshold: 255).mean
                }
                let best = try #require(distances.min())
                #expect(best < 4, "\(record.key) \(field)")
                if isLeft { found.insert(try #require(distances.firstIndex(of: best))) }
            }
        }
        #expect(found.count == 42)
    }

    @Test(arguments: ["LR-ou.mp4", "LR-sbs.mp4", "LR-ou.png", "LR-sbs.png"]) func cards(_ name: String) throws {
        let loaded = try load(data + "/cards/" + name)
        #expect(loaded.records.count == 1)
        try expectCard(try #require(loaded.records.first))
    }

    @Test(arguments: [("LR-sbs.mp4", "top_bottom"), ("LR-ou.mp4", "left_right")])
    func cardsWithAWrongLabel(_ name: String, _ label: String) throws {
        let clips = Clips()
        let path = try clips.run(
            ["-i", data + "/cards/" + name, "-c", "copy", "-metadata:s:v:0", "stereo_mode=\(label)"], to: "card.mkv")
        let loaded = try load(path)
        try expectCard(try #require(loaded.records.first))
        #expect(loaded.notes.contains { $0.contains("warning") && $0.contains("its label says") })
    }

    @Test func exchangedEyesAreNoticed() throws {
        let loaded = try load(
            data + "/movies/full_sbs.mkv",
            .every {
                $0.packing = .fullSideBySide
                $0.swapsEyes = true
            })
        #expect(loaded.notes.contains { $0.contains("warning") && $0.contains("eyes look exchanged") })
    }

    /// Left red, right green, all over.
    private func expectCard(_ record: Record) throws {
        for (field, channel) in [(FieldName.left, 0), (FieldName.right, 1)] {
            let view = try #require(record[field])
            #expect(view.height == 180 && (320...321).contains(view.width))
            let grid = PictureGrid(view, height: 9, width: 16)
            var right = 0
            for cell in 0..<(9 * 16) {
                let colours = (0..<3).map { Int(grid.colours[cell * 3 + $0]) }
                if colours[channel] > 100 && colours[1 - channel] < 60 { right += 1 }
            }
            // The letter is white.
            #expect(right > 9 * 16 * 7 / 10, "\(field): \(right)")
        }
    }
}
