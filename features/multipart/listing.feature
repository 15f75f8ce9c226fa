@needs.multipart
Feature: Listing parts and uploads

  Rule: The parts of an upload are listed by their numbers

    Scenario: All parts
      Given a bucket
      And an upload of "thing"
      And part 3 is "333"
      And part 1 is "1"
      And part 20 is "20"
      When I list the parts
      Then the parts are
        | 1  | 1 |
        | 3  | 3 |
        | 20 | 2 |
      And the listing ends

    Scenario: Pages of parts
      Given a bucket
      And an upload of "thing"
      And part 1 is "1"
      And part 5 is "55"
      And part 9 is "999"
      When I list the parts with
        | max parts | 2 |
      Then the parts are
        | 1 | 1 |
        | 5 | 2 |
      And the listing goes on
      And its next part number marker is "5"
      When I list the parts with
        | part number marker | 5 |
      Then the parts are
        | 9 | 3 |
      And the listing ends

    Scenario: A marker between parts and one beyond them
      Given a bucket
      And an upload of "thing"
      And part 1 is "1"
      And part 5 is "55"
      When I list the parts with
        | part number marker | 3 |
      Then the parts are
        | 5 | 2 |
      When I list the parts with
        | part number marker | 2000000000 |
      Then there are no parts

    Scenario: A part that was sent again is listed once
      Given a bucket
      And an upload of "thing"
      And part 1 is "old"
      And part 1 is "newer"
      When I list the parts
      Then the parts are
        | 1 | 5 |

    Scenario: An upload without parts has none
      Given a bucket
      And an upload of "thing"
      When I list the parts
      Then there are no parts

  @needs.upload-listing
  Rule: The uploads of a bucket are listed by their keys

    Scenario: All uploads
      Given a bucket
      And an upload of "b"
      And an upload of "a"
      And an upload of "c"
      When I list the uploads
      Then the uploads are of "a, b, c"

    Scenario: Uploads that ended are not listed
      Given a bucket
      And an upload of "ended"
      And part 1 is "x"
      And the upload is completed
      And an upload of "given-up"
      And the upload is given up
      And an upload of "under-way"
      When I list the uploads
      Then the uploads are of "under-way"

    Scenario: Several uploads of one key are all listed
      Given a bucket
      And an upload of "thing"
      And an upload of "thing"
      When I list the uploads
      Then the uploads are of "thing, thing"

    Scenario: A prefix narrows
      Given a bucket
      And an upload of "a/1"
      And an upload of "b/1"
      When I list the uploads with
        | prefix | a/ |
      Then the uploads are of "a/1"

    Scenario: A delimiter rolls up
      Given a bucket
      And an upload of "a/1"
      And an upload of "a/2"
      And an upload of "b"
      When I list the uploads with
        | delimiter | / |
      Then the uploads are of "b"
      And the common prefixes are "a/"

    Scenario Outline: Pages of <size>
      Given a bucket
      And an upload of "a"
      And an upload of "b"
      And an upload of "b"
      And an upload of "c"
      When I list the uploads page by page with
        | max uploads | <size> |
      Then all uploads together are of "a, b, b, c"

      Examples:
        | size |
        | 1    |
        | 2    |
        | 3    |

    Scenario: A bucket without uploads has none
      Given a bucket
      When I list the uploads
      Then the uploads are of ""

    Scenario: From a bucket that was never made
      Given there is no bucket
      When I list the uploads
      Then it is refused with NoSuchBucket
