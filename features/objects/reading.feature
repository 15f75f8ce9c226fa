Feature: Reading objects

  Rule: What is not there is not read

    Scenario: Reading a key that holds nothing
      Given a bucket
      When I read "nothing-here"
      Then it is refused with NoSuchKey
      And the refusal names Key "nothing-here"

    Scenario: Looking at a key that holds nothing
      Given a bucket
      When I look at "nothing-here"
      Then it is refused with NoSuchKey

    Scenario: Looking tells what reading tells, without the bytes
      Given a bucket
      And "greeting" holds "hello"
      When I look at "greeting"
      Then its content length is "5"
      And its etag is "\u00225d41402abc4b2a76b9719d911017c592\u0022"
      And it tells its last modified

    Scenario: The only version of an object is null
      Given a bucket
      And "greeting" holds "hello"
      When I read "greeting" with
        | version id | null |
      Then I get "hello"

    Scenario: Another version is not there
      Given a bucket
      And "greeting" holds "hello"
      When I read "greeting" with
        | version id | 3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY |
      Then it is refused with NoSuchVersion or InvalidArgument

  Rule: A range is a part of the bytes

    Scenario Outline: <range> of "0123456789" is <what>
      Given a bucket
      And "digits" holds "0123456789"
      When I read "digits" with
        | range | <range> |
      Then I get "<bytes>"
      And its content range is "<told>"

      Examples:
        | range        | what                 | bytes      | told          |
        | bytes=0-0    | the first byte       | 0          | bytes 0-0/10  |
        | bytes=2-5    | four bytes           | 2345       | bytes 2-5/10  |
        | bytes=5-     | the second half      | 56789      | bytes 5-9/10  |
        | bytes=-3     | the last three       | 789        | bytes 7-9/10  |
        | bytes=-100   | all of it            | 0123456789 | bytes 0-9/10  |
        | bytes=0-9    | all of it            | 0123456789 | bytes 0-9/10  |
        | bytes=8-100  | what there is of it  | 89         | bytes 8-9/10  |
        | bytes=9-9    | the last byte        | 9          | bytes 9-9/10  |

    Scenario Outline: <range> is <fault> and means the whole
      Given a bucket
      And "digits" holds "0123456789"
      When I read "digits" with
        | range | <range> |
      Then I get "0123456789"
      And it tells no content range

      Examples:
        | range          | fault                  |
        | bytes=5-2      | the wrong way round    |
        | bytes=a-b      | no numbers             |
        | lines=0-1      | in another unit        |
        | bytes=0-1,4-5  | two ranges             |
        | bytes=         | nothing                |

    Scenario Outline: <range> of "0123456789" begins beyond the end
      Given a bucket
      And "digits" holds "0123456789"
      When I read "digits" with
        | range | <range> |
      Then it is refused with InvalidRange

      Examples:
        | range         |
        | bytes=10-     |
        | bytes=10-20   |
        | bytes=1000-   |
        | bytes=-0      |

    @needs.actual-size
    Scenario: Who reads beyond the end is told where it is
      Given a bucket
      And "digits" holds "0123456789"
      When I read "digits" with
        | range | bytes=10- |
      Then it is refused with InvalidRange
      And the refusal names ActualObjectSize "10"

    Scenario: Any range of an empty object is beyond its end
      Given a bucket
      And "empty" holds nothing
      When I read "empty" with
        | range | bytes=0-0 |
      Then it is refused with InvalidRange

    Scenario: A range can be looked at
      Given a bucket
      And "digits" holds "0123456789"
      When I look at "digits" with
        | range | bytes=2-5 |
      Then its content length is "4"
      And its content range is "bytes 2-5/10"

    Scenario: A range across the buffers of a large object
      Given a bucket
      And "large" holds 3 MiB
      When I read "large" with
        | range | bytes=1048570-2097160 |
      Then I get bytes 1048570 to 2097160 of 3 MiB

  @needs.conditional-reads
  Rule: A condition is judged before anything is read

    Scenario: Who has the object already is told so
      Given a bucket
      And "greeting" holds "hello"
      And I note the etag of "greeting" as mine
      When I read "greeting" with
        | if none match | $mine |
      Then it is refused with NotModified

    Scenario: Who has an older object gets the new one
      Given a bucket
      And "greeting" holds "hello"
      And I note the etag of "greeting" as mine
      And "greeting" holds "good evening"
      When I read "greeting" with
        | if none match | $mine |
      Then I get "good evening"

    Scenario: Who insists on an object gets that one
      Given a bucket
      And "greeting" holds "hello"
      And I note the etag of "greeting" as mine
      When I read "greeting" with
        | if match | $mine |
      Then I get "hello"

    Scenario: Who insists on an older object is refused
      Given a bucket
      And "greeting" holds "hello"
      And I note the etag of "greeting" as mine
      And "greeting" holds "good evening"
      When I read "greeting" with
        | if match | $mine |
      Then it is refused with PreconditionFailed

    Scenario Outline: <condition> <when> <outcome>
      Given a bucket
      And "greeting" holds "hello"
      When I look at "greeting" with
        | <condition> | <when> |
      Then <outcome>

      Examples:
        | condition           | when            | outcome                               |
        | if modified since   | 2 hours ago     | it succeeds                           |
        | if unmodified since | 2 hours ago     | it is refused with PreconditionFailed |
        | if unmodified since | 2 hours from now | it succeeds                          |

    Scenario: Who has the object of this time already is told so
      Given a bucket
      And "greeting" holds "hello"
      And I note the last modified of "greeting" as then
      When I read "greeting" with
        | if modified since | $then |
      Then it is refused with NotModified

    Scenario: An ETag that agrees weighs more than a time that does not
      Given a bucket
      And "greeting" holds "hello"
      And I note the etag of "greeting" as mine
      When I read "greeting" with
        | if match            | $mine       |
        | if unmodified since | 2 hours ago |
      Then I get "hello"

    Scenario: An ETag that is known weighs more than a time that is long ago
      Given a bucket
      And "greeting" holds "hello"
      And I note the etag of "greeting" as mine
      When I read "greeting" with
        | if none match     | $mine       |
        | if modified since | 2 hours ago |
      Then it is refused with NotModified

  Rule: Who knows better may say how an answer is described

    Scenario: Descriptions in place of the stored ones
      Given a bucket
      And "page" holds "hello" with
        | content type | text/plain |
      When I read "page" with
        | response content type        | text/html                    |
        | response content disposition | attachment; filename="p.htm" |
        | response cache control       | no-store                     |
      Then I get "hello"
      And its content type is "text/html"
      And its content disposition is "attachment; filename=\u0022p.htm\u0022"
      And its cache control is "no-store"

    @needs.anonymous
    Scenario: Not for anonymous callers
      Given a bucket
      And "page" holds "hello"
      And a policy lets everybody do "s3:GetObject" on "the bucket/*"
      And I am anonymous
      When I read "page" with
        | response content type | text/html |
      Then it is refused with InvalidRequest
