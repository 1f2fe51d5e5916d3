import Basics
import Foundation
import TestSupport
import Testing

@testable import Checkpoints

/// Files that PyTorch's own `torch.save` wrote, in both forms.
@Suite struct TorchFileTests {
    /// ```python
    /// d = collections.OrderedDict()
    /// d["features.0.weight"] = (torch.arange(12.).reshape(2, 3, 2) * 0.5 - 1).transpose(0, 1)
    /// d["features.0.bias"] = torch.nn.Parameter(torch.tensor([0.25, -3.]))
    /// d["denselayer1.norm.1.weight"] = torch.arange(6., dtype=torch.float64)[2:5]
    /// d["half"] = torch.tensor([1.5, -0.125], dtype=torch.float16)
    /// d["brain"] = torch.tensor([2.5], dtype=torch.bfloat16)
    /// d["norm.num_batches_tracked"] = torch.tensor(7)
    /// torch.save(d, path, _use_new_zipfile_serialization=...)
    /// ```
    static let files: [String: [UInt8]] = ["legacy": decoded(legacy), "archive": decoded(archive)]

    static func decoded(_ text: String) -> [UInt8] {
        Data(base64Encoded: text, options: .ignoreUnknownCharacters).map { [UInt8]($0) } ?? []
    }

    @Test(arguments: ["legacy", "archive"])
    func tensorsOfPyTorch(_ form: String) throws {
        let bytes = try #require(Self.files[form])
        let file = try TorchFile(bytes: bytes, path: "x.pth")
        #expect(
            file.tensors.map(\.name) == [
                "features.0.weight", "features.0.bias", "denselayer1.norm.1.weight", "half", "brain",
            ])
        #expect(file.tensors.map { "\($0.shape)" } == ["3x2x2", "2", "3", "2", "1"])
        #expect(file.tensors[0].values == [-1, -0.5, 2, 2.5, 0, 0.5, 3, 3.5, 1, 1.5, 4, 4.5])
        #expect(file.tensors[1].values == [0.25, -3])
        #expect(file.tensors[2].values == [2, 3, 4])
        #expect(file.tensors[3].values == [1.5, -0.125] && file.tensors[4].values == [2.5])
        #expect(file.skipped == ["norm.num_batches_tracked"])
    }

    /// Cut anywhere, or with a byte changed anywhere, it is read or refused with a reason: 65.
    @Test(arguments: ["legacy", "archive"])
    func brokenFilesAreRefused(_ form: String) throws {
        let bytes = try #require(Self.files[form])
        func attempt(_ bytes: [UInt8]) -> Bool {
            do {
                _ = try TorchFile(bytes: bytes, path: "x.pth")
                return true
            } catch let error as any ExitCoding {
                #expect(error.exitCode == .badData && error.description.hasPrefix("x.pth: "))
            } catch {
                Issue.record("\(error)")
            }
            return false
        }
        for count in 0..<bytes.count { #expect(!attempt(Array(bytes[..<count])), "cut at \(count)") }
        var read = 0
        for index in bytes.indices {
            for mask in [0x01, 0x80, 0xff] as [UInt8] {
                var changed = bytes
                changed[index] ^= mask
                if attempt(changed) { read += 1 }
            }
        }
        // Numbers, texts and padding can be others; structure cannot.
        #expect(read > 0 && read < 3 * bytes.count)
    }

    @Test func otherFilesAreRefused() throws {
        #expect(
            throws: Failure(
                .badData, "x.pth: ends early, or is no file of torch.save; copy it again")
        ) { try TorchFile(bytes: [], path: "x.pth") }
        // A dictionary of numbers, pickled: "}K\u{1}K\u{2}s." three times and once more.
        let pickle: [UInt8] = [0x80, 2, 0x7d, 0x4b, 1, 0x4b, 2, 0x73, 0x2e]
        #expect(throws: Failure.self) {
            try TorchFile(bytes: pickle + pickle + pickle + pickle + [0x80, 2, 0x5d, 0x2e], path: "x.pth")
        }
        // A million tuples, each in the next.
        let nested = [0x80, 2, 0x29] + [UInt8](repeating: 0x85, count: 1_000_000) + [0x2e]
        #expect(throws: Failure.self) { try TorchFile(bytes: nested, path: "x.pth") }
    }

    static let legacy = """
        gAKKCmz8nEb5IGqoUBkugAJN6QMugAJ9cQAoWBAAAABwcm90b2NvbF92ZXJzaW9ucQFN6QNYDQAAAGxpdHRsZV9lbmRpYW5xAohYCgAAAHR5cG
        Vfc2l6ZXNxA31xBChYBQAAAHNob3J0cQVLAlgDAAAAaW50cQZLBFgEAAAAbG9uZ3EHSwR1dS6AAmNjb2xsZWN0aW9ucwpPcmRlcmVkRGljdApx
        AClScQEoWBEAAABmZWF0dXJlcy4wLndlaWdodHECY3RvcmNoLl91dGlscwpfcmVidWlsZF90ZW5zb3JfdjIKcQMoKFgHAAAAc3RvcmFnZXEEY3
        RvcmNoCkZsb2F0U3RvcmFnZQpxBVgOAAAAOTM4ODU5MDQwMzk4NTZxBlgDAAAAY3B1cQdLDE50cQhRSwBLA0sCSwKHcQlLAksGSwGHcQqJaAAp
        UnELdHEMUnENWA8AAABmZWF0dXJlcy4wLmJpYXNxDmN0b3JjaC5fdXRpbHMKX3JlYnVpbGRfcGFyYW1ldGVyCnEPaAMoKGgEaAVYDgAAADkzOD
        g1OTA0MDQwMDAwcRBoB0sCTnRxEVFLAEsChXESSwGFcROJaAApUnEUdHEVUnEWiGgAKVJxF4dxGFJxGVgZAAAAZGVuc2VsYXllcjEubm9ybS4x
        LndlaWdodHEaaAMoKGgEY3RvcmNoCkRvdWJsZVN0b3JhZ2UKcRtYDgAAADkzODg1OTA0MDYwNjQwcRxoB0sGTnRxHVFLAksDhXEeSwGFcR+JaA
        ApUnEgdHEhUnEiWAQAAABoYWxmcSNoAygoaARjdG9yY2gKSGFsZlN0b3JhZ2UKcSRYDgAAADkzODg1Nzg3Nzk1NTUycSVoB0sCTnRxJlFLAEsC
        hXEnSwGFcSiJaAApUnEpdHEqUnErWAUAAABicmFpbnEsaAMoKGgEY3RvcmNoCkJGbG9hdDE2U3RvcmFnZQpxLVgOAAAAOTM4ODU3ODc3MDI0OT
        ZxLmgHSwFOdHEvUUsASwGFcTBLAYVxMYloAClScTJ0cTNScTRYGAAAAG5vcm0ubnVtX2JhdGNoZXNfdHJhY2tlZHE1aAMoKGgEY3RvcmNoCkxv
        bmdTdG9yYWdlCnE2WA4AAAA5Mzg4NTc4Nzc5NDk0NHE3aAdLAU50cThRSwApKYloAClScTl0cTpScTt1LoACXXEAKFgOAAAAOTM4ODU3ODc3MD
        I0OTZxAVgOAAAAOTM4ODU3ODc3OTQ5NDRxAlgOAAAAOTM4ODU3ODc3OTU1NTJxA1gOAAAAOTM4ODU5MDQwMzk4NTZxBFgOAAAAOTM4ODU5MDQw
        NDAwMDBxBVgOAAAAOTM4ODU5MDQwNjA2NDBxBmUuAQAAAAAAAAAgQAEAAAAAAAAABwAAAAAAAAACAAAAAAAAAAA+ALAMAAAAAAAAAAAAgL8AAA
        C/AAAAAAAAAD8AAIA/AADAPwAAAEAAACBAAABAQAAAYEAAAIBAAACQQAIAAAAAAAAAAACAPgAAQMAGAAAAAAAAAAAAAAAAAAAAAAAAAAAA8D8A
        AAAAAAAAQAAAAAAAAAhAAAAAAAAAEEAAAAAAAAAUQA==
        """

    static let archive = """
        UEsDBAAACAgAAAAAAAAAAAAAAAAAAAAAAAAQABIAYXJjaGl2ZS9kYXRhLnBrbEZCDgBaWlpaWlpaWlpaWlpaWoACY2NvbGxlY3Rpb25zCk9yZG
        VyZWREaWN0CnEAKVJxAShYEQAAAGZlYXR1cmVzLjAud2VpZ2h0cQJjdG9yY2guX3V0aWxzCl9yZWJ1aWxkX3RlbnNvcl92MgpxAygoWAcAAABz
        dG9yYWdlcQRjdG9yY2gKRmxvYXRTdG9yYWdlCnEFWAEAAAAwcQZYAwAAAGNwdXEHSwx0cQhRSwBLA0sCSwKHcQlLAksGSwGHcQqJaAApUnELdH
        EMUnENWA8AAABmZWF0dXJlcy4wLmJpYXNxDmN0b3JjaC5fdXRpbHMKX3JlYnVpbGRfcGFyYW1ldGVyCnEPaAMoKGgEaAVYAQAAADFxEGgHSwJ0
        cRFRSwBLAoVxEksBhXETiWgAKVJxFHRxFVJxFohoAClScReHcRhScRlYGQAAAGRlbnNlbGF5ZXIxLm5vcm0uMS53ZWlnaHRxGmgDKChoBGN0b3
        JjaApEb3VibGVTdG9yYWdlCnEbWAEAAAAycRxoB0sGdHEdUUsCSwOFcR5LAYVxH4loAClScSB0cSFScSJYBAAAAGhhbGZxI2gDKChoBGN0b3Jj
        aApIYWxmU3RvcmFnZQpxJFgBAAAAM3ElaAdLAnRxJlFLAEsChXEnSwGFcSiJaAApUnEpdHEqUnErWAUAAABicmFpbnEsaAMoKGgEY3RvcmNoCk
        JGbG9hdDE2U3RvcmFnZQpxLVgBAAAANHEuaAdLAXRxL1FLAEsBhXEwSwGFcTGJaAApUnEydHEzUnE0WBgAAABub3JtLm51bV9iYXRjaGVzX3Ry
        YWNrZWRxNWgDKChoBGN0b3JjaApMb25nU3RvcmFnZQpxNlgBAAAANXE3aAdLAXRxOFFLACkpiWgAKVJxOXRxOlJxO3UuUEsHCCdbF36ZAgAAmQ
        IAAFBLAwQAAAgIAAAAAAAAAAAAAAAAAAAAAAAAFwAiAGFyY2hpdmUvLmZvcm1hdF92ZXJzaW9uRkIeAFpaWlpaWlpaWlpaWlpaWlpaWlpaWlpa
        WlpaWlpaWjFQSwcIt+/cgwEAAAABAAAAUEsDBAAACAgAAAAAAAAAAAAAAAAAAAAAAAAaADcAYXJjaGl2ZS8uc3RvcmFnZV9hbGlnbm1lbnRGQj
        MAWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaNjRQSwcIP3dx6QIAAAACAAAAUEsDBAAACAgAAAAA
        AAAAAAAAAAAAAAAAAAARAD8AYXJjaGl2ZS9ieXRlb3JkZXJGQjsAWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWl
        paWlpaWlpaWlpaWlpaWlpsaXR0bGVQSwcIhT3jGQYAAAAGAAAAUEsDBAAACAgAAAAAAAAAAAAAAAAAAAAAAAAOAD4AYXJjaGl2ZS9kYXRhLzBG
        QjoAWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWgAAgL8AAAC/AAAAAAAAAD8AAIA/AA
        DAPwAAAEAAACBAAABAQAAAYEAAAIBAAACQQFBLBwjMImYLMAAAADAAAABQSwMEAAAICAAAAAAAAAAAAAAAAAAAAAAAAA4AFABhcmNoaXZlL2Rh
        dGEvMUZCEABaWlpaWlpaWlpaWlpaWlpaAACAPgAAQMBQSwcI40CeDggAAAAIAAAAUEsDBAAACAgAAAAAAAAAAAAAAAAAAAAAAAAOADwAYXJjaG
        l2ZS9kYXRhLzJGQjgAWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWloAAAAAAAAAAAAAAAAA
        APA/AAAAAAAAAEAAAAAAAAAIQAAAAAAAABBAAAAAAAAAFEBQSwcIGQEr8TAAAAAwAAAAUEsDBAAACAgAAAAAAAAAAAAAAAAAAAAAAAAOABQAYX
        JjaGl2ZS9kYXRhLzNGQhAAWlpaWlpaWlpaWlpaWlpaWgA+ALBQSwcICqTQxAQAAAAEAAAAUEsDBAAACAgAAAAAAAAAAAAAAAAAAAAAAAAOAEAA
        YXJjaGl2ZS9kYXRhLzRGQjwAWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaIEBQSw
        cIzXeBogIAAAACAAAAUEsDBAAACAgAAAAAAAAAAAAAAAAAAAAAAAAOAEIAYXJjaGl2ZS9kYXRhLzVGQj4AWlpaWlpaWlpaWlpaWlpaWlpaWlpa
        WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWloHAAAAAAAAAFBLBwhw1udvCAAAAAgAAABQSwMEAAAICAAAAAAAAAAAAA
        AAAAAAAAAAAA8AOwBhcmNoaXZlL3ZlcnNpb25GQjcAWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpa
        WlpaWjMKUEsHCNGeZ1UCAAAAAgAAAFBLAwQAAAgIAAAAAAAAAAAAAAAAAAAAAAAAHgAyAGFyY2hpdmUvLmRhdGEvc2VyaWFsaXphdGlvbl9pZE
        ZCLgBaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaMTI2ODU2NzM5Njk2NDY0NjI2MTEwMzc2NzA0NDY5ODk2
        NTAwMTE5MlBLBwhFvRo4KAAAACgAAABQSwECAAAAAAgIAAAAAAAAJ1sXfpkCAACZAgAAEAAAAAAAAAAAAAAAAAAAAAAAYXJjaGl2ZS9kYXRhLn
        BrbFBLAQIAAAAACAgAAAAAAAC379yDAQAAAAEAAAAXAAAAAAAAAAAAAAAAAOkCAABhcmNoaXZlLy5mb3JtYXRfdmVyc2lvblBLAQIAAAAACAgA
        AAAAAAA/d3HpAgAAAAIAAAAaAAAAAAAAAAAAAAAAAFEDAABhcmNoaXZlLy5zdG9yYWdlX2FsaWdubWVudFBLAQIAAAAACAgAAAAAAACFPeMZBg
        AAAAYAAAARAAAAAAAAAAAAAAAAANIDAABhcmNoaXZlL2J5dGVvcmRlclBLAQIAAAAACAgAAAAAAADMImYLMAAAADAAAAAOAAAAAAAAAAAAAAAA
        AFYEAABhcmNoaXZlL2RhdGEvMFBLAQIAAAAACAgAAAAAAADjQJ4OCAAAAAgAAAAOAAAAAAAAAAAAAAAAAAAFAABhcmNoaXZlL2RhdGEvMVBLAQ
        IAAAAACAgAAAAAAAAZASvxMAAAADAAAAAOAAAAAAAAAAAAAAAAAFgFAABhcmNoaXZlL2RhdGEvMlBLAQIAAAAACAgAAAAAAAAKpNDEBAAAAAQA
        AAAOAAAAAAAAAAAAAAAAAAAGAABhcmNoaXZlL2RhdGEvM1BLAQIAAAAACAgAAAAAAADNd4GiAgAAAAIAAAAOAAAAAAAAAAAAAAAAAFQGAABhcm
        NoaXZlL2RhdGEvNFBLAQIAAAAACAgAAAAAAABw1udvCAAAAAgAAAAOAAAAAAAAAAAAAAAAANIGAABhcmNoaXZlL2RhdGEvNVBLAQIAAAAACAgA
        AAAAAADRnmdVAgAAAAIAAAAPAAAAAAAAAAAAAAAAAFgHAABhcmNoaXZlL3ZlcnNpb25QSwECAAAAAAgIAAAAAAAARb0aOCgAAAAoAAAAHgAAAA
        AAAAAAAAAAAADSBwAAYXJjaGl2ZS8uZGF0YS9zZXJpYWxpemF0aW9uX2lkUEsGBiwAAAAAAAAAHgMtAAAAAAAAAAAADAAAAAAAAAAMAAAAAAAA
        APsCAAAAAAAAeAgAAAAAAABQSwYHAAAAAHMLAAAAAAAAAQAAAFBLBQYAAAAADAAMAPsCAAB4CAAAAAA=
        """
}
