Feature: Storing objects

  Rule: An object comes back as it was put

    Scenario Outline: <what>
      Given a bucket
      When I put "thing" holding <content>
      Then it succeeds
      And "thing" holds <content>

      Examples:
        | what                                   | content      |
        | A few bytes                            | "hello"      |
        | Nothing at all                         | nothing      |
        | One byte                               | 1 bytes      |
        | What is small enough for the index     | 32768 bytes  |
        | One byte more than that                | 32769 bytes  |
        | What does not fit one buffer           | 1048577 bytes |
        | Several MiB                            | 9 MiB        |
        | Text beyond ASCII                      | "größer 日本" |

    Scenario: The ETag of an object put whole is the MD5 of its bytes
      Given a bucket
      When I put "greeting" holding "hello"
      Then its etag is "\u00225d41402abc4b2a76b9719d911017c592\u0022"

    Scenario: The ETag of nothing is the MD5 of nothing
      Given a bucket
      When I put "empty" holding nothing
      Then its etag is "\u0022d41d8cd98f00b204e9800998ecf8427e\u0022"

    Scenario: A new object takes the place of the old one
      Given a bucket
      And "greeting" holds "hello"
      When I put "greeting" holding "good evening"
      Then "greeting" holds "good evening"

    Scenario: A smaller object takes the place of a larger one
      Given a bucket
      And "thing" holds 2 MiB
      When I put "thing" holding "small"
      Then "thing" holds "small"

    Scenario: Nothing of the old object stays with the new one
      Given a bucket
      And "greeting" holds "hello" with
        | content type    | text/x-old |
        | metadata colour | green      |
        | tag team        | red        |
      When I put "greeting" holding "good evening"
      And I look at "greeting"
      Then its content type is "binary/octet-stream"
      And it tells no metadata colour
      And it tells no tag count

    Scenario: Many writers of one key leave one of their objects whole
      Given a bucket
      When 16 writers at once put "contested"
      Then exactly 16 of them succeed
      And "contested" holds what one of them put

  Rule: What is said of an object comes back with it

    Scenario: System headers
      Given a bucket
      And "page" holds "<p>hello" with
        | content type        | text/html; charset=utf-8      |
        | cache control       | max-age=3600                  |
        | content disposition | attachment; filename="a.html" |
        | content encoding    | identity                      |
        | content language    | de-AT                         |
        | expires             | Wed, 21 Oct 2026 07:28:00 GMT |
      When I look at "page"
      Then its content type is "text/html; charset=utf-8"
      And its cache control is "max-age=3600"
      And its content disposition is "attachment; filename=\u0022a.html\u0022"
      And its content encoding is "identity"
      And its content language is "de-AT"
      And its content length is "8"

    Scenario: An object of which nothing is said is bytes
      Given a bucket
      And "thing" holds "x"
      When I look at "thing"
      Then its content type is "binary/octet-stream"

    Scenario: User metadata
      Given a bucket
      And "thing" holds "x" with
        | metadata colour | green        |
        | metadata shape  | round, large |
      When I read "thing"
      Then its metadata is exactly
        | colour | green        |
        | shape  | round, large |

    Scenario: The names of user metadata have no case
      Given a bucket
      And "thing" holds "x" with
        | metadata Colour | Green |
      When I look at "thing"
      Then its metadata is exactly
        | colour | Green |

    Scenario: 2 KiB of user metadata are as much as an object takes
      Given a bucket
      When I put "thing" with metadata of 2048 bytes
      Then it succeeds

    Scenario: One byte more is refused
      Given a bucket
      When I put "thing" with metadata of 2049 bytes
      Then it is refused with MetadataTooLarge
      And "thing" does not exist

    Scenario: A storage class that is not there is refused
      Given a bucket
      When I put "thing" holding "x" with
        | storage class | MOON_DUST |
      Then it is refused with InvalidStorageClass
      And "thing" does not exist

  Rule: A key is any text of up to 1,024 bytes

    Scenario Outline: <what>
      Given a bucket
      When I put "<key>" holding "here"
      Then "<key>" holds "here"
      When I list the objects
      Then the keys are these, in this order
        | "<key>" |

      Examples:
        | what                       | key                    |
        | A leading slash            | /a                     |
        | A trailing slash           | a/                     |
        | A double slash             | a//b                   |
        | A dot                      | .                      |
        | A way around               | a/../b                 |
        | An encoded slash           | a%2Fb                  |
        | A percent sign             | 100%                   |
        | A plus sign                | a+b                    |
        | Spaces                     | a b  c                 |
        | Marks of a query           | a?b=c&d=e#f            |
        | Quotes and brackets        | a'b(c)[d]{e}           |
        | Marks of XML               | <a>&amp;</a>           |
        | A backslash                | a\\b                   |
        | A colon and an at sign     | a:b@c                  |
        | Umlauts, composed          | \u00fc                 |
        | Umlauts, decomposed        | u\u0308                |
        | An emoji                   | 😀                     |
        | Other writing              | 日本語/ключ            |

    # S3 refuses a key whose ".." are ever more than the names before them (user guide, Naming objects).
    @needs.climbing-keys
    Scenario Outline: <what>
      Given a bucket
      When I put "<key>" holding "here"
      Then "<key>" holds "here"
      When I list the objects
      Then the keys are these, in this order
        | "<key>" |

      Examples:
        | what      | key              |
        | Two dots  | ..               |
        | A way out | ../../etc/passwd |

    @needs.control-characters
    Scenario: A control character
      Given a bucket
      When I put "a\u0001b" holding "here"
      Then "a\u0001b" holds "here"

    Scenario: Composed and decomposed umlauts are two keys
      Given a bucket
      And "\u00fc" holds "one"
      And "u\u0308" holds "two"
      Then "\u00fc" holds "one"
      And "u\u0308" holds "two"

    Scenario: A key and one below it are two objects
      Given a bucket
      And "a" holds "one"
      And "a/b" holds "two"
      And "a/" holds "three"
      Then "a" holds "one"
      And "a/b" holds "two"
      And "a/" holds "three"

    Scenario: 1,024 bytes are a key
      Given a bucket
      When I put a key of 1024 bytes holding "here"
      Then a key of 1024 bytes holds "here"

    Scenario: 1,025 bytes are none
      Given a bucket
      When I put a key of 1025 bytes holding "here"
      Then it is refused with KeyTooLongError

  @needs.conditional-writes
  Rule: A condition is judged at the moment of writing

    Scenario: The first writer who insists on being first is first
      Given a bucket
      When I put "greeting" holding "first" unless it exists
      Then it succeeds
      And "greeting" holds "first"

    Scenario: The second writer who insists on being first is refused
      Given a bucket
      And "greeting" holds "first"
      When I put "greeting" holding "second" unless it exists
      Then it is refused with PreconditionFailed
      And "greeting" holds "first"

    Scenario: Of many writers who insist on being first one is
      Given a bucket
      When 32 writers at once put "contested" unless it exists
      Then exactly 1 of them succeed
      And the others are refused with PreconditionFailed
      And "contested" holds what one of them put

    Scenario: Who knows the object may replace it
      Given a bucket
      And "greeting" holds "first"
      And I note the etag of "greeting" as first
      When I put "greeting" holding "second" in place of "$first"
      Then it succeeds
      And "greeting" holds "second"

    Scenario: Who knows an older object may not
      Given a bucket
      And "greeting" holds "first"
      And I note the etag of "greeting" as first
      And "greeting" holds "second"
      When I put "greeting" holding "third" in place of "$first"
      Then it is refused with PreconditionFailed
      And "greeting" holds "second"

    Scenario: Nobody can replace what is not there
      Given a bucket
      When I put "greeting" holding "second" in place of "00000000000000000000000000000000"
      Then it is refused with NoSuchKey
      And "greeting" does not exist

    Scenario: Of many writers who know the object one replaces it
      Given a bucket
      And "contested" holds "first"
      And I note the etag of "contested" as first
      When 16 writers at once put "contested" in place of "$first"
      Then exactly 1 of them succeed
      And the others are refused with PreconditionFailed

    Scenario: After a deletion one can be first again
      Given a bucket
      And "greeting" holds "first"
      When I delete "greeting"
      And I put "greeting" holding "again" unless it exists
      Then it succeeds
