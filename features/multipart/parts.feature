@needs.multipart @needs.part-numbers
Feature: Reading objects part by part

  Rule: A part can be read by its number

    Scenario: Each part by itself
      Given a bucket
      And an upload of "large"
      And part 1 is 5 MiB of seed 1
      And part 2 is "the end"
      And the upload is completed
      When I read "large" with
        | part number | 2 |
      Then I get "the end"
      And its content range is "bytes 5242880-5242886/5242887"
      And its parts count is "2"
      When I read "large" with
        | part number | 1 |
      Then I get 5 MiB of seed 1

    Scenario: A part can be looked at
      Given a bucket
      And an upload of "large"
      And part 1 is 5 MiB
      And part 2 is "the end"
      And the upload is completed
      When I look at "large" with
        | part number | 2 |
      Then its content length is "7"
      And its parts count is "2"

    Scenario: A part that is not there
      Given a bucket
      And an upload of "thing"
      And part 1 is "x"
      And the upload is completed
      When I read "thing" with
        | part number | 2 |
      Then it is refused with InvalidPartNumber

    Scenario: An object put whole is its only part
      Given a bucket
      And "thing" holds "hello"
      When I read "thing" with
        | part number | 1 |
      Then I get "hello"

    Scenario: A part and a range at once are one too many
      Given a bucket
      And "thing" holds "hello"
      When I read "thing" with
        | part number | 1         |
        | range       | bytes=0-1 |
      Then it is refused with InvalidRequest
