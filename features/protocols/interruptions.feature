@needs.cancellation
Feature: Uploads that are broken off

  Rule: What was not sent whole was not sent

    Scenario: A new object
      Given a bucket
      When I begin to put "half" with 4 MiB and break off halfway
      Then "half" does not exist

    Scenario: A small new object
      Given a bucket
      When I begin to put "half" with 1 MiB and break off halfway
      Then "half" does not exist

    Scenario: In place of an old object
      Given a bucket
      And "greeting" holds "hello"
      When I begin to put "greeting" with 4 MiB and break off halfway
      Then "greeting" holds "hello"

    @needs.multipart
    Scenario: A part
      Given a bucket
      And an upload of "large"
      When I begin to send part 1 of 5 MiB and break off halfway
      And I list the parts
      Then there are no parts

    @needs.multipart
    Scenario: A part that was there keeps what it held
      Given a bucket
      And an upload of "large"
      And part 1 is "whole"
      When I begin to send part 1 of 5 MiB and break off halfway
      And I list the parts
      Then the parts are
        | 1 | 5 |
