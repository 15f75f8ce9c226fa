@needs.multipart
Feature: Uploading objects in parts

  Rule: Parts become one object, all at once

    Scenario: Two parts
      Given a bucket
      And an upload of "large"
      And part 1 is 5 MiB of seed 1
      And part 2 is "the end"
      When I complete the upload
      Then it succeeds
      When I look at "large"
      Then its content length is "5242887"

    Scenario: One small part
      Given a bucket
      And an upload of "small"
      And part 1 is "all there is"
      When I complete the upload
      Then it succeeds
      And "small" holds "all there is"

    Scenario: One part of nothing
      Given a bucket
      And an upload of "empty"
      And part 1 is nothing
      When I complete the upload
      Then it succeeds
      And "empty" holds nothing

    Scenario: Parts sent at once are all kept, in the order of their numbers
      Given a bucket
      And an upload of "large"
      When I send 4 parts of 5 MiB at once
      And I complete the upload
      Then it succeeds
      And "large" holds the parts of 5 MiB in the order "1, 2, 3, 4"

    Scenario: Parts may be sent in any order and with gaps
      Given a bucket
      And an upload of "large"
      And part 100 is "the end"
      And part 7 is 5 MiB of seed 7
      When I complete the upload
      Then it succeeds
      When I look at "large"
      Then its content length is "5242887"

    Scenario: The last part sent under a number counts
      Given a bucket
      And an upload of "thing"
      And part 1 is "old"
      And part 1 is "newer"
      When I complete the upload
      Then "thing" holds "newer"

    Scenario: Parts that are not named are left out
      Given a bucket
      And an upload of "thing"
      And part 1 is "kept"
      And part 2 is "left out"
      When I complete the upload naming parts "1"
      Then "thing" holds "kept"

    Scenario: The ETag tells how many parts there were
      Given a bucket
      And an upload of "thing"
      And part 1 is "hello"
      When I complete the upload
      Then its etag is "\u002262109206880d38a4010a98e11243924a-1\u0022"

    Scenario: What is said at the beginning comes back with the object
      Given a bucket
      And an upload of "thing" with
        | content type    | text/x-thing |
        | cache control   | no-store     |
        | metadata colour | green        |
        | tag team        | red          |
      And part 1 is "x"
      And the upload is completed
      When I read "thing"
      Then its content type is "text/x-thing"
      And its cache control is "no-store"
      And its metadata colour is "green"
      And its tag count is "1"

    Scenario: Nothing is there before completion
      Given a bucket
      And an upload of "thing"
      And part 1 is "x"
      Then "thing" does not exist

    Scenario: The old object is there until completion
      Given a bucket
      And "thing" holds "old"
      And an upload of "thing"
      And part 1 is "new"
      Then "thing" holds "old"
      When I complete the upload
      Then "thing" holds "new"

    Scenario: Two uploads of one key do not know each other
      Given a bucket
      And an upload of "thing"
      And part 1 is "first"
      And an upload of "thing"
      And part 1 is "second"
      When I complete the upload
      Then "thing" holds "second"

    Scenario: Completing again is answered the same
      Given a bucket
      And an upload of "thing"
      And part 1 is "hello"
      And the upload is completed
      When I complete the upload
      Then it succeeds
      And its etag is "\u002262109206880d38a4010a98e11243924a-1\u0022"

    @needs.repeated-completions
    Scenario: Completing again is answered the same, whatever the key holds since
      Given a bucket
      And an upload of "thing"
      And part 1 is "hello"
      And the upload is completed
      And "thing" holds "something else"
      When I complete the upload
      Then it succeeds
      And its etag is "\u002262109206880d38a4010a98e11243924a-1\u0022"
      And "thing" holds "something else"

  Rule: What does not fit together is not put together

    Scenario: Parts in the wrong order
      Given a bucket
      And an upload of "thing"
      And part 1 is 5 MiB
      And part 2 is 5 MiB
      When I complete the upload naming parts "2, 1"
      Then it is refused with InvalidPartOrder
      And "thing" does not exist

    Scenario: A part twice
      Given a bucket
      And an upload of "thing"
      And part 1 is 5 MiB
      When I complete the upload naming parts "1, 1"
      Then it is refused with InvalidPartOrder

    Scenario: A part that was never sent
      Given a bucket
      And an upload of "thing"
      And part 1 is 5 MiB
      When I complete the upload naming parts "1, 2"
      Then it is refused with InvalidPart
      And "thing" does not exist

    Scenario: A part with another ETag
      Given a bucket
      And an upload of "thing"
      And part 1 is "x"
      When I complete the upload with a wrong ETag for part 1
      Then it is refused with InvalidPart
      And "thing" does not exist

    Scenario: No parts
      Given a bucket
      And an upload of "thing"
      When I complete the upload naming parts ""
      Then it is refused with MalformedXML

    Scenario: A small part that is not the last
      Given a bucket
      And an upload of "thing"
      And part 1 is "too small"
      And part 2 is "the end"
      When I complete the upload
      Then it is refused with EntityTooSmall
      And "thing" does not exist

    Scenario: After a refusal the upload is still there
      Given a bucket
      And an upload of "thing"
      And part 1 is "x"
      When I complete the upload with a wrong ETag for part 1
      And I complete the upload
      Then it succeeds
      And "thing" holds "x"

    Scenario: Another size than the one that is expected
      Given a bucket
      And an upload of "thing"
      And part 1 is "hello"
      When I complete the upload with
        | mpu object size | 6 |
      Then it is refused with InvalidRequest
      And "thing" does not exist

    Scenario: The size that is expected
      Given a bucket
      And an upload of "thing"
      And part 1 is "hello"
      When I complete the upload with
        | mpu object size | 5 |
      Then it succeeds

    Scenario Outline: A part cannot have the number <number>
      Given a bucket
      And an upload of "thing"
      When I send part <number> holding "x"
      Then it is refused with InvalidArgument

      Examples:
        | number |
        | 0      |
        | 10001  |

    Scenario: Ten thousand is a part's number
      Given a bucket
      And an upload of "thing"
      And part 10000 is "the very end"
      When I complete the upload
      Then "thing" holds "the very end"

    @needs.checksums
    Scenario: A part with a wrong MD5 is not kept
      Given a bucket
      And an upload of "thing"
      When I send part 1 holding "x" with
        | content md5 | AAAAAAAAAAAAAAAAAAAAAA== |
      Then it is refused with BadDigest
      When I list the parts
      Then there are no parts

  @needs.conditional-writes
  Rule: A condition is judged at completion

    Scenario: Who insists on being first and is
      Given a bucket
      And an upload of "thing"
      And part 1 is "x"
      When I complete the upload with
        | if none match | * |
      Then it succeeds

    Scenario: Who insists on being first and is not
      Given a bucket
      And an upload of "thing"
      And part 1 is "x"
      And "thing" holds "somebody was faster"
      When I complete the upload with
        | if none match | * |
      Then it is refused with PreconditionFailed
      And "thing" holds "somebody was faster"

    Scenario: Who insists on an object that was replaced
      Given a bucket
      And "thing" holds "first"
      And I note the etag of "thing" as first
      And "thing" holds "second"
      And an upload of "thing"
      And part 1 is "x"
      When I complete the upload with
        | if match | $first |
      Then it is refused with PreconditionFailed
      And "thing" holds "second"

  Rule: What ended is over

    Scenario: An upload that was given up takes no parts
      Given a bucket
      And an upload of "thing"
      And part 1 is "x"
      And the upload is given up
      When I send part 2 holding "y"
      Then it is refused with NoSuchUpload

    Scenario: An upload that was given up is not completed
      Given a bucket
      And an upload of "thing"
      And part 1 is "x"
      And the upload is given up
      When I complete the upload
      Then it is refused with NoSuchUpload
      And "thing" does not exist

    Scenario: An upload that was given up is not given up again
      Given a bucket
      And an upload of "thing"
      And the upload is given up
      When I give the upload up
      Then it is refused with NoSuchUpload

    Scenario: An upload that was completed takes no parts
      Given a bucket
      And an upload of "thing"
      And part 1 is "x"
      And the upload is completed
      When I send part 2 holding "y"
      Then it is refused with NoSuchUpload

    Scenario: An upload is of its key alone
      Given a bucket
      And an upload of "thing"
      And part 1 is "x"
      When I complete the upload under the key "another"
      Then it is refused with NoSuchUpload
      And "another" does not exist

    Scenario Outline: An upload id that was made up, <what>, is none
      Given a bucket
      And an upload id that was made up: "<id>"
      When I list the parts
      Then it is refused with NoSuchUpload

      Examples:
        | what                    | id                  |
        | a word                  | made-up             |
        | a path                  | ../../../etc/passwd |
        | an encoded path         | ..%2f..%2fetc       |
        | with a null             | a\u0000b            |

    Scenario: Into a bucket that was never made
      Given there is no bucket
      When I begin an upload of "thing"
      Then it is refused with NoSuchBucket
