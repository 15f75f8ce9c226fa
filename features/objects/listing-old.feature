Feature: Listing objects in the old way

  The first form of the listing is what many tools still speak; gRPC has the second form alone.

  @needs.old-listing
  Rule: Both forms list the same

    Scenario: All keys
      Given a bucket
      And these objects
        | b |
        | a |
      When I list the objects in the old way
      Then the keys are "a, b"
      And every listed object names its owner

    Scenario: A marker is where the page before ended
      Given a bucket
      And these objects
        | a |
        | b |
        | c |
      When I list the objects in the old way with
        | marker | a |
      Then the keys are "b, c"

    Scenario: Rolled up
      Given a bucket
      And these objects
        | a/1 |
        | a/2 |
        | b   |
      When I list the objects in the old way with
        | delimiter | / |
      Then the keys are "b"
      And the common prefixes are "a/"

    Scenario Outline: Rolled-up prefixes are never repeated, in pages of <size>
      Given a bucket
      And these objects
        | a/1 |
        | a/2 |
        | b   |
        | c/1 |
        | c/2 |
      When I list the objects in the old way page by page with
        | max keys  | <size> |
        | delimiter | /      |
      Then all pages together are "a/, b, c/"

      Examples:
        | size |
        | 1    |
        | 2    |

    Scenario: A next marker is told only where there is a delimiter
      Given a bucket
      And these objects
        | a |
        | b |
      When I list the objects in the old way with
        | max keys | 1 |
      Then the listing goes on
      And it tells no next marker

    Scenario: From a bucket that was never made
      Given there is no bucket
      When I list the objects in the old way
      Then it is refused with NoSuchBucket
