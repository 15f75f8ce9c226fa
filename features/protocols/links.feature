@needs.presigned
Feature: Links signed ahead of their time

  Rule: Who has the link may do what it says, for as long as it says

    Scenario: Reading
      Given a bucket
      And "greeting" holds "hello"
      And a link to read "greeting" that lives 60 seconds
      When I follow the link
      Then I get "hello"

    Scenario: Putting
      Given a bucket
      And a link to put "inbox"
      When I follow the link to put "a letter"
      Then it succeeds
      And "inbox" holds "a letter"

    Scenario: A key that needs encoding
      Given a bucket
      And "a b/c+d&e=f/größe" holds "hello"
      And a link to read "a b/c+d&e=f/größe" that lives 60 seconds
      When I follow the link
      Then I get "hello"

    @needs.authentication
    Scenario: After its time
      Given a bucket
      And "greeting" holds "hello"
      And a link to read "greeting" that lives 60 seconds, made "5 minutes ago"
      When I follow the link
      Then it is refused with AccessDenied

    @needs.authentication
    Scenario: For another object than the one it names
      Given a bucket
      And "greeting" holds "hello"
      And "greetina" holds "secret"
      And a link to read "greeting" that lives 60 seconds
      When I follow the link with one letter of its key changed
      Then it is refused with SignatureDoesNotMatch

    @needs.authentication
    Scenario: For longer than a week
      Given a bucket
      And "greeting" holds "hello"
      And a link to read "greeting" that lives 691200 seconds
      When I follow the link
      Then it is refused with AuthorizationQueryParametersError

    @needs.second-identity
    Scenario: From somebody who may not
      Given a bucket
      And "greeting" holds "hello"
      And I am the stranger
      And a link to read "greeting" that lives 60 seconds
      When I follow the link
      Then it is refused with AccessDenied
