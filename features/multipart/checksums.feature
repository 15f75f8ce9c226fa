@needs.multipart @needs.multipart-checksums
Feature: Checking uploads in parts

  Rule: The checksums of parts become one

    Scenario: Of the whole, where parts combine
      Given a bucket
      And an upload of "thing" with
        | checksum algorithm | CRC32       |
        | checksum type      | FULL_OBJECT |
      And part 1 is "hello", sent with its CRC32
      When I complete the upload
      Then its checksum crc32 is "NhCmhg=="
      And its checksum type is "FULL_OBJECT"

    Scenario: Of the parts, where each stands for itself
      Given a bucket
      And an upload of "thing" with
        | checksum algorithm | CRC32     |
        | checksum type      | COMPOSITE |
      And part 1 is "hello", sent with its CRC32
      When I complete the upload
      Then its checksum crc32 is "FKTmaw==-1"
      And its checksum type is "COMPOSITE"

    Scenario: The whole can be insisted on
      Given a bucket
      And an upload of "thing" with
        | checksum algorithm | CRC32       |
        | checksum type      | FULL_OBJECT |
      And part 1 is "hello", sent with its CRC32
      When I complete the upload with
        | checksum crc32 | AAAAAA==    |
        | checksum type  | FULL_OBJECT |
      Then it is refused with BadDigest
      And "thing" does not exist

    Scenario: A part with a wrong checksum is not kept
      Given a bucket
      And an upload of "thing" with
        | checksum algorithm | CRC32 |
      When I send part 1 holding "hello" with
        | checksum crc32 | AAAAAA== |
      Then it is refused with BadDigest
      When I list the parts
      Then there are no parts

    Scenario: CRC64NVME is of the whole alone
      Given a bucket
      When I begin an upload of "thing" with
        | checksum algorithm | CRC64NVME |
        | checksum type      | COMPOSITE |
      Then it is refused with InvalidRequest

    Scenario: SHA256 is of the parts alone
      Given a bucket
      When I begin an upload of "thing" with
        | checksum algorithm | SHA256      |
        | checksum type      | FULL_OBJECT |
      Then it is refused with InvalidRequest

    Scenario: An algorithm that is none
      Given a bucket
      When I begin an upload of "thing" with
        | checksum algorithm | CRC31 |
      Then it is refused with InvalidRequest or InvalidArgument
