@needs.copies
Feature: Copying objects

  Rule: A copy is an object of its own

    Scenario Outline: <what>
      Given a bucket
      And "original" holds <content>
      When I copy "original" to "copy"
      Then it succeeds
      And "copy" holds <content>
      And "original" holds <content>

      Examples:
        | what           | content |
        | A few bytes    | "hello" |
        | Nothing at all | nothing |
        | A large object | 6 MiB   |

    Scenario: The copy stays when the original goes
      Given a bucket
      And "original" holds 2 MiB
      When I copy "original" to "copy"
      And I delete "original"
      Then "copy" holds 2 MiB

    Scenario: The original stays when the copy goes
      Given a bucket
      And "original" holds 2 MiB
      When I copy "original" to "copy"
      And I delete "copy"
      Then "original" holds 2 MiB

    Scenario: The copy stays when the original is replaced
      Given a bucket
      And "original" holds 2 MiB
      When I copy "original" to "copy"
      And I put "original" holding "something else"
      Then "copy" holds 2 MiB

    Scenario: From another bucket
      Given a bucket
      And a bucket "archive"
      And "original" in "archive" holds "hello"
      When I copy "original" of "archive" to "copy"
      Then "copy" holds "hello"

    Scenario: Of a key that needs care
      Given a bucket
      And "a b+c/größe&d" holds "hello"
      When I copy "a b+c/größe&d" to "copy"
      Then "copy" holds "hello"

    Scenario: Over an object that is there
      Given a bucket
      And "original" holds "hello"
      And "copy" holds "old"
      When I copy "original" to "copy"
      Then "copy" holds "hello"

    Scenario: A copy tells its ETag and its time
      Given a bucket
      And "original" holds "hello"
      When I copy "original" to "copy"
      Then its etag is "\u00225d41402abc4b2a76b9719d911017c592\u0022"
      And it tells its last modified

  Rule: A copy takes along what is said of the original, unless it is told not to

    Scenario: Everything goes along
      Given a bucket
      And "original" holds "hello" with
        | content type    | text/x-greeting |
        | metadata colour | green           |
        | tag team        | red             |
      When I copy "original" to "copy"
      And I look at "copy"
      Then its content type is "text/x-greeting"
      And its metadata colour is "green"
      And the tags of "copy" are
        | team | red |

    Scenario: What is said anew takes the place of all that was said
      Given a bucket
      And "original" holds "hello" with
        | content type    | text/x-greeting |
        | cache control   | no-store        |
        | metadata colour | green           |
      When I copy "original" to "copy" with
        | metadata directive | REPLACE |
        | metadata shape     | round   |
      And I look at "copy"
      Then its metadata is exactly
        | shape | round |
      And it tells no cache control
      And its content type is "binary/octet-stream"

    @needs.object-tagging
    Scenario: Tags given anew take the place of the original's
      Given a bucket
      And "original" holds "hello" with
        | tag team | red |
      When I copy "original" to "copy" with
        | tagging directive | REPLACE |
        | tag stage         | raw     |
      Then the tags of "copy" are
        | stage | raw |

    Scenario: An object can be described anew in its place
      Given a bucket
      And "thing" holds "hello"
      When I copy "thing" to "thing" with
        | metadata directive | REPLACE |
        | metadata colour    | green   |
      Then it succeeds
      When I read "thing"
      Then I get "hello"
      And its metadata colour is "green"

    Scenario: A copy onto itself that changes nothing is refused
      Given a bucket
      And "thing" holds "hello"
      When I copy "thing" to "thing"
      Then it is refused with InvalidRequest
      And "thing" holds "hello"

    Scenario: A directive that is none is refused
      Given a bucket
      And "original" holds "hello"
      When I copy "original" to "copy" with
        | metadata directive | FORGET |
      Then it is refused with InvalidArgument
      And "copy" does not exist

  Rule: A source that is not there cannot be copied

    Scenario: A key that holds nothing
      Given a bucket
      When I copy "nothing-here" to "copy"
      Then it is refused with NoSuchKey
      And "copy" does not exist

    Scenario: A bucket that was never made
      Given a bucket
      When I copy the source "rs3gw-conformance-no-such-bucket/key" to "copy"
      Then it is refused with NoSuchBucket

    Scenario: A version that is not there
      Given a bucket
      And "original" holds "hello"
      When I copy the source "$bucket/original?versionId=3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY" to "copy"
      Then it is refused with NoSuchVersion or InvalidArgument

    Scenario: What names no object
      Given a bucket
      When I copy the source "no-slash-in-it" to "copy"
      Then it is refused with InvalidArgument

  @needs.conditional-copies
  Rule: A copy can depend on its source

    Scenario: The source that is meant
      Given a bucket
      And "original" holds "hello"
      And I note the etag of "original" as mine
      When I copy "original" to "copy" with
        | copy source if match | $mine |
      Then "copy" holds "hello"

    Scenario: Another source than the one that is meant
      Given a bucket
      And "original" holds "hello"
      When I copy "original" to "copy" with
        | copy source if match | "00000000000000000000000000000000" |
      Then it is refused with PreconditionFailed
      And "copy" does not exist

    Scenario: A source that is known already
      Given a bucket
      And "original" holds "hello"
      And I note the etag of "original" as mine
      When I copy "original" to "copy" with
        | copy source if none match | $mine |
      Then it is refused with PreconditionFailed

    Scenario: A source that was changed since
      Given a bucket
      And "original" holds "hello"
      When I copy "original" to "copy" with
        | copy source if unmodified since | 2 hours ago |
      Then it is refused with PreconditionFailed

    @needs.conditional-writes
    Scenario: A target that must not be there
      Given a bucket
      And "original" holds "hello"
      And "copy" holds "old"
      When I copy "original" to "copy" with
        | if none match | * |
      Then it is refused with PreconditionFailed
      And "copy" holds "old"
