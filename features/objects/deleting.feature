Feature: Deleting objects

  Rule: What is deleted is gone, and what was never there is as good as deleted

    Scenario: An object
      Given a bucket
      And "greeting" holds "hello"
      When I delete "greeting"
      Then it succeeds
      And "greeting" does not exist

    Scenario: A key that holds nothing
      Given a bucket
      When I delete "nothing-here"
      Then it succeeds

    Scenario: Twice
      Given a bucket
      And "greeting" holds "hello"
      When I delete "greeting"
      And I delete "greeting"
      Then it succeeds

    Scenario: One object and not its neighbours
      Given a bucket
      And "a" holds "1"
      And "a/b" holds "2"
      And "ab" holds "3"
      When I delete "a"
      Then "a" does not exist
      And "a/b" holds "2"
      And "ab" holds "3"

  @needs.conditional-deletes
  Rule: A delete can insist on what it removes

    Scenario: The object that is meant
      Given a bucket
      And "greeting" holds "hello"
      And I note the etag of "greeting" as mine
      When I delete "greeting" with
        | if match | $mine |
      Then it succeeds
      And "greeting" does not exist

    Scenario: Another object than the one that is meant
      Given a bucket
      And "greeting" holds "hello"
      And I note the etag of "greeting" as mine
      And "greeting" holds "good evening"
      When I delete "greeting" with
        | if match | $mine |
      Then it is refused with PreconditionFailed
      And "greeting" holds "good evening"

  Rule: Many objects are deleted at once

    Scenario: Those that are there and those that are not
      Given a bucket
      And "a" holds "1"
      And "b" holds "2"
      And "c" holds "3"
      When I delete these objects
        | a            |
        | b            |
        | nothing-here |
      Then these are deleted
        | a            |
        | b            |
        | nothing-here |
      And "a" does not exist
      And "c" holds "3"

    Scenario: Quietly
      Given a bucket
      And "a" holds "1"
      When I delete these objects quietly
        | a |
      Then it succeeds
      And none is said to be deleted
      And "a" does not exist

    Scenario: Keys that need care
      Given a bucket
      And "a&b<c>" holds "1"
      And "größe +%2F" holds "2"
      When I delete these objects
        | a&b<c>     |
        | größe +%2F |
      Then "a&b<c>" does not exist
      And "größe +%2F" does not exist

    Scenario: A thousand are as many as go at once
      Given a bucket
      When I delete 1000 objects at once
      Then it succeeds

    Scenario: One more is refused
      Given a bucket
      And "key0" holds "still here"
      When I delete 1001 objects at once
      Then it is refused with MalformedXML
      And "key0" holds "still here"

    Scenario: None at all is refused
      Given a bucket
      When I delete 0 objects at once
      Then it is refused with MalformedXML

    Scenario: From a bucket that was never made
      Given there is no bucket
      When I delete these objects
        | a |
      Then it is refused with NoSuchBucket
