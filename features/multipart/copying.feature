@needs.multipart @needs.copies
Feature: Making parts of objects that are there

  Rule: A part can be a copy

    Scenario: Of a whole object
      Given a bucket
      And "original" holds "hello"
      And an upload of "copy"
      When I copy "original" into part 1
      And I complete the upload
      Then it succeeds
      And "copy" holds "hello"

    # S3 copies ranges of what is larger than 5 MB (reference, UploadPartCopy), and of nothing else.
    Scenario: Of a range of an object
      Given a bucket
      And "original" holds 6 MiB
      And an upload of "copy"
      When I copy "original" into part 1 with
        | copy source range | bytes=2-5 |
      And I complete the upload
      And I read "copy"
      Then I get bytes 2 to 5 of 6 MiB

    Scenario: Of ranges of a large object, put together again
      Given a bucket
      And "original" holds 11 MiB
      And an upload of "copy"
      When I copy "original" into part 1 with
        | copy source range | bytes=0-5242879 |
      And I copy "original" into part 2 with
        | copy source range | bytes=5242880-11534335 |
      And I complete the upload
      Then it succeeds
      And "copy" holds 11 MiB

    Scenario: The copy stays when the original goes
      Given a bucket
      And "original" holds 2 MiB
      And an upload of "copy"
      When I copy "original" into part 1
      And I delete "original"
      And I complete the upload
      Then "copy" holds 2 MiB

    Scenario Outline: <range> is no range of 6 MiB
      Given a bucket
      And "original" holds 6 MiB
      And an upload of "copy"
      When I copy "original" into part 1 with
        | copy source range | <range> |
      Then it is refused with <code>

      Examples:
        | range           | code                            |
        | bytes=5-        | InvalidArgument                 |
        | bytes=-3        | InvalidArgument                 |
        | bytes=5-2       | InvalidArgument                 |
        | all             | InvalidArgument                 |
        | bytes=0-6291456 | InvalidArgument or InvalidRange |

    Scenario: Of a key that holds nothing
      Given a bucket
      And an upload of "copy"
      When I copy "nothing-here" into part 1
      Then it is refused with NoSuchKey

    @needs.conditional-copies
    Scenario: Of another source than the one that is meant
      Given a bucket
      And "original" holds "hello"
      And an upload of "copy"
      When I copy "original" into part 1 with
        | copy source if match | "00000000000000000000000000000000" |
      Then it is refused with PreconditionFailed
