@needs.checksums
Feature: Checking what was sent

  A digest that was sent is verified before anything is visible.  One that does not agree leaves nothing.

  Rule: The right digest is taken, kept and given back

    Scenario Outline: <algorithm>
      Given a bucket
      When I put "greeting" holding "hello" with
        | checksum <name> | <value> |
      Then it succeeds
      And its checksum <name> is "<value>"
      And its checksum type is "FULL_OBJECT"
      When I look at "greeting" with
        | checksum mode | ENABLED |
      Then its checksum <name> is "<value>"

      Examples:
        | algorithm | name      | value                                        |
        | CRC32     | crc32     | NhCmhg==                                     |
        | CRC32C    | crc32c    | mnG7TA==                                     |
        | CRC64NVME | crc64nvme | M3eFcAZSQlc=                                 |
        | SHA1      | sha1      | qvTGHdzF6KLavt4PO0gs2a6pQ00=                 |
        | SHA256    | sha256    | LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ= |

    Scenario: The MD5 of the content
      Given a bucket
      When I put "greeting" holding "hello" with
        | content md5 | XUFAKrxLKna5cZ2REBfFkg== |
      Then it succeeds

    Scenario: With none sent the object gets one all the same
      Given a bucket
      And "greeting" holds "hello"
      When I look at "greeting" with
        | checksum mode | ENABLED |
      Then its checksum type is "FULL_OBJECT"

    Scenario: Nobody is bothered with a checksum who did not ask for it
      Given a bucket
      And "greeting" holds "hello"
      When I look at "greeting"
      Then it tells no checksum crc64nvme

    Scenario: A part of an object has no checksum of the whole
      Given a bucket
      And "greeting" holds "hello" with
        | checksum sha256 | LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ= |
      When I read "greeting" with
        | range         | bytes=0-1 |
        | checksum mode | ENABLED   |
      Then I get "he"
      And it tells no checksum sha256

  Rule: A digest that does not agree leaves nothing

    Scenario Outline: A wrong <algorithm>
      Given a bucket
      And "greeting" holds "before"
      When I put "greeting" holding "hello" with
        | checksum <name> | <value> |
      Then it is refused with BadDigest
      And "greeting" holds "before"

      Examples:
        | algorithm | name      | value                                        |
        | CRC32     | crc32     | AAAAAA==                                     |
        | CRC32C    | crc32c    | AAAAAA==                                     |
        | CRC64NVME | crc64nvme | AAAAAAAAAAA=                                 |
        | SHA1      | sha1      | AAAAAAAAAAAAAAAAAAAAAAAAAAA=                 |
        | SHA256    | sha256    | AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= |

    Scenario: A wrong MD5
      Given a bucket
      When I put "greeting" holding "hello" with
        | content md5 | AAAAAAAAAAAAAAAAAAAAAA== |
      Then it is refused with BadDigest
      And "greeting" does not exist

    Scenario: A wrong digest of a large object
      Given a bucket
      When I put "large" holding 5 MiB with
        | checksum sha256 | AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= |
      Then it is refused with BadDigest
      And "large" does not exist

  Rule: What is no digest is refused as none

    Scenario: An MD5 that is none
      Given a bucket
      When I put "greeting" holding "hello" with
        | content md5 | bm90IGFuIG1kNQ== |
      Then it is refused with InvalidDigest
      And "greeting" does not exist

    Scenario Outline: A <algorithm> that is none
      Given a bucket
      When I put "greeting" holding "hello" with
        | checksum <name> | <value> |
      Then it is refused with InvalidRequest
      And "greeting" does not exist

      Examples:
        | algorithm | name   | value        |
        | CRC32     | crc32  | NhCmhmE=     |
        | SHA256    | sha256 | NhCmhg==     |
        | CRC32C    | crc32c | not base64!! |

    Scenario: Two checksums are one too many
      Given a bucket
      When I put "greeting" holding "hello" with
        | checksum crc32 | NhCmhg==                     |
        | checksum sha1  | qvTGHdzF6KLavt4PO0gs2a6pQ00= |
      Then it is refused with InvalidRequest
      And "greeting" does not exist
